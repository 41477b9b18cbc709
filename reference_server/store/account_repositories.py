"""Users, sessions, API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as OrmSession

from reference_server.services.errors import Conflict
from reference_server.services.model import ApiKey, Session, User
from reference_server.services.secrets import RandomBytes
from reference_server.store.fleet.repositories import SqlOrganizations
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tables import ApiKeyRow, SessionRow, UserRow


class SqlUsers:
    def __init__(self, session: OrmSession, random: RandomBytes) -> None:
        self._session, self._random = session, random

    def get(self, user_id: int) -> User | None:
        row = self._session.get(UserRow, user_id)
        return to_entity(row, User) if row else None

    def by_login(self, login: str) -> tuple[User, str] | None:
        key = login.casefold()
        query = select(UserRow).where(or_(UserRow.name_key == key, UserRow.email_key == key)).order_by(UserRow.id)
        row = self._session.scalars(query).first()
        return (to_entity(row, User), row.password_hash) if row else None

    def count(self) -> int:
        return self._session.scalar(select(func.count()).select_from(UserRow)) or 0

    def add(self, user: User, password_hash: str) -> User:
        row = UserRow(
            name_key=user.name.casefold(), email_key=user.email.casefold() or None, password_hash=password_hash
        )
        copy_to(row, user)
        self._session.add(row)
        try:
            self._session.flush()
        except IntegrityError:
            raise Conflict("A user with that name or e-mail address exists already.") from None
        SqlOrganizations(self._session, self._random).of_member(row.id)  # which is made with its first member
        return to_entity(row, User)

    def password_hash(self, user_id: int) -> str | None:
        return self._session.scalar(select(UserRow.password_hash).where(UserRow.id == user_id))

    def set_password_hash(self, user_id: int, password_hash: str) -> None:
        self._session.execute(update(UserRow).where(UserRow.id == user_id).values(password_hash=password_hash))

    def save(self, user: User) -> None:
        if row := self._session.get(UserRow, user.id):
            row.email_key = user.email.casefold() or None
            copy_to(row, user)
            try:
                self._session.flush()
            except IntegrityError:
                raise Conflict("A user with that e-mail address exists already.") from None

    def count_unseen_event(self, user_id: int) -> None:
        more = UserRow.unseen_printer_events + 1
        self._session.execute(update(UserRow).where(UserRow.id == user_id).values(unseen_printer_events=more))


class SqlSessions:
    def __init__(self, session: OrmSession) -> None:
        self._session = session

    def add(self, session: Session) -> None:
        row = SessionRow()
        copy_to(row, session)
        self._session.add(row)
        self._session.flush()

    def find(self, token_hash: str) -> Session | None:
        row = self._session.get(SessionRow, token_hash)
        return to_entity(row, Session) if row else None

    def save(self, session: Session) -> None:
        if row := self._session.get(SessionRow, session.token_hash):
            copy_to(row, session)

    def of_user(self, user_id: int) -> Sequence[Session]:
        query = select(SessionRow).where(SessionRow.user_id == user_id).order_by(SessionRow.refreshed_at.desc())
        return [to_entity(row, Session) for row in self._session.scalars(query)]

    def remove(self, token_hash: str) -> None:
        self._session.execute(delete(SessionRow).where(SessionRow.token_hash == token_hash))

    def remove_expired(self, now: datetime) -> None:
        self._session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))


class SqlApiKeys:
    def __init__(self, session: OrmSession) -> None:
        self._session = session

    def add(self, key: ApiKey) -> ApiKey:
        row = ApiKeyRow()
        copy_to(row, key)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, ApiKey)

    def find(self, key_hash: str) -> ApiKey | None:
        row = self._session.scalars(select(ApiKeyRow).where(ApiKeyRow.key_hash == key_hash)).first()
        return to_entity(row, ApiKey) if row else None

    def get(self, key_id: int) -> ApiKey | None:
        row = self._session.get(ApiKeyRow, key_id)
        return to_entity(row, ApiKey) if row else None

    def of_user(self, user_id: int) -> Sequence[ApiKey]:
        query = select(ApiKeyRow).where(ApiKeyRow.user_id == user_id).order_by(ApiKeyRow.id)
        return [to_entity(row, ApiKey) for row in self._session.scalars(query)]

    def save(self, key: ApiKey) -> None:
        if row := self._session.get(ApiKeyRow, key.id):
            copy_to(row, key)
