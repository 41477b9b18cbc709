"""Users, log-in, sessions, API keys and the first run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Forbidden, Invalid, NotFound, ServiceError, Unauthenticated
from reference_server.services.model import ALL_SCOPES, ApiKey, Json, Scopes, Session, User
from reference_server.services.passwords import LONGEST, SHORTEST, Passwords
from reference_server.services.ports import Store, Transaction
from reference_server.services.second_factor import SecondFactors
from reference_server.services.secrets import RandomBytes, same, sha256, token
from reference_server.services.text import clean
from reference_server.services.throttle import Throttle, address_key

SESSION_LIFE = timedelta(days=60)
REFRESH_AFTER = timedelta(days=1)
KEY_USE_STEP = timedelta(minutes=5)
"""How exactly `last_used_at` is kept: one write in so long."""

SESSIONS_PER_USER = 100
"""The one that was not used for longest ends."""
SETUP_LIFE = timedelta(hours=24)
NAME_LIMIT, EMAIL_LIMIT, KEY_NAME_LIMIT = 150, 254, 100
API_KEYS_PER_USER = 50

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")


def checked_email(text: str) -> str:
    """Raises Invalid."""
    email = clean(text, EMAIL_LIMIT + 1)
    if len(email) > EMAIL_LIMIT or not _EMAIL.fullmatch(email):
        raise Invalid.field("email", "This is no e-mail address.")
    return email


@dataclass(frozen=True, slots=True)
class LoggedIn:
    user: User
    session_token: str


class CodeNeeded(ServiceError):
    """Name and password are right; a code of the second factor is needed besides."""


class Accounts:
    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        now: Now,
        random: RandomBytes,
        login_throttle: Throttle,
        address_throttle: Throttle,
        second_factors: SecondFactors,
    ) -> None:
        self.second_factors = second_factors
        self._store, self._passwords, self._now, self._random = store, passwords, now, random
        self._login_throttle, self._address_throttle = login_throttle, address_throttle
        self._setup: tuple[str, datetime] | None = None  # hash of the first-run token, and when it ends

    # --- first run ---------------------------------------------------------------------------------------------

    def setup_needed(self) -> bool:
        with self._store.read() as tx:
            return tx.users.count() == 0

    def begin_setup(self) -> str:
        """A new first-run token (an older one is void); it is kept as a hash, in memory only."""
        text = token(self._random, 20)
        self._setup = (sha256(text), self._now() + SETUP_LIFE)
        return text

    def finish_setup(self, setup_token: str, name: str, password: str, email: str, address: str) -> LoggedIn:
        """Make the owner. Raises Forbidden (token), Conflict (there is an owner), Invalid, Throttled."""
        self._address_throttle.take(f"setup {address_key(address)}")
        if not self.setup_needed():
            raise Conflict("This server has an owner already. Log in instead.")
        if self._setup is None or not same(sha256(setup_token), self._setup[0]) or self._now() >= self._setup[1]:
            raise Forbidden("This set-up link is not valid any more. Restart the server: it prints a new one.")
        user = self.create_user(name, password, email, first=True)
        self._setup = None
        return LoggedIn(user, self._open_session(user, address))

    def create_user(self, name: str, password: str, email: str = "", *, first: bool = False) -> User:
        """Raises Invalid, Conflict. The first user is the owner; `first` insists on being it."""
        new, password_hash = self.new_user(name, password, email)
        with self._store.write() as tx:
            is_first = tx.users.count() == 0
            if first and not is_first:
                raise Conflict("This server has an owner already. Log in instead.")
            return tx.users.add(replace(new, is_owner=is_first), password_hash)

    def new_user(self, name: str, password: str, email: str) -> tuple[User, str]:
        """Checked, not stored; with the password's hash. Raises Invalid."""
        name, email = clean(name, NAME_LIMIT + 1), clean(email, EMAIL_LIMIT + 1)
        errors: dict[str, list[str]] = {}
        if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
            errors["name"] = [f"A name of 1 to {NAME_LIMIT} characters is needed."]
        if not SHORTEST <= len(password) <= LONGEST:
            errors["password"] = [f"A password of {SHORTEST} to {LONGEST} characters is needed."]
        if email and (len(email) > EMAIL_LIMIT or not _EMAIL.fullmatch(email)):
            errors["email"] = ["This is no e-mail address."]
        if errors:
            raise Invalid(" ".join(text for texts in errors.values() for text in texts), errors)
        now = self._now()
        return User(0, name, email, is_owner=False, created_at=now, consented_at=now), self._passwords.hash(password)

    def change(self, user: User, account: User, body: Json, shown: Json) -> None:
        """`email`, and `unseen_printer_events` back to 0, which are the account's; the rest of `shown`, the user as he
        sees himself, may be repeated unchanged. Raises Invalid, Conflict."""
        errors: dict[str, list[str]] = {}
        for key, value in body.items():
            if key == "email":
                if not isinstance(value, str) or (value and not _EMAIL.fullmatch(value)) or len(value) > EMAIL_LIMIT:
                    errors[key] = ["This is no e-mail address."]
            elif key == "unseen_printer_events":
                if isinstance(value, bool) or value not in (0, shown.get(key)):
                    errors[key] = ["0 is needed: the events have been seen."]
            elif key not in shown:
                errors[key] = ["There is no such field."]
            elif value != shown[key]:
                errors[key] = ["This field is read-only."]
        if errors:
            raise Invalid("; ".join(f"{key}: {texts[0]}" for key, texts in errors.items()), errors)
        with self._store.write() as tx:
            if body.get("unseen_printer_events") == 0 and (counted := tx.users.get(account.id)) is not None:
                tx.users.save(replace(counted, unseen_printer_events=0))
            found = tx.users.get(user.id)
            if found is None:
                raise NotFound
            if "email" in body:
                tx.users.save(replace(found, email=clean(body["email"], EMAIL_LIMIT)))

    # --- log-in ------------------------------------------------------------------------------------------------

    def log_in(self, login: str, password: str, address: str, code: str = "", client: str = "") -> LoggedIn:
        """`code`: of the second factor, where there is one. Raises Unauthenticated, CodeNeeded, Throttled."""
        caller = address_key(address)
        key = f"{caller} {login[: NAME_LIMIT + EMAIL_LIMIT].casefold()}"
        self._address_throttle.check(caller)
        self._login_throttle.check(key)
        with self._store.read() as tx:
            found = tx.users.by_login(clean(login, NAME_LIMIT + EMAIL_LIMIT))
        if not self._passwords.matches(password, found[1] if found else None) or found is None:
            self._address_throttle.take(caller)
            self._login_throttle.take(key)
            raise Unauthenticated("Wrong name or password.")
        self._login_throttle.forget(key)
        user, password_hash = found
        if self.second_factors.in_force(user):
            if not code.strip():
                raise CodeNeeded("A code of the second factor is needed.")
            self.second_factors.spend(user, code)
        if self._passwords.is_outdated(password_hash):
            renewed = self._passwords.hash(password)
            with self._store.write() as tx:
                tx.users.set_password_hash(user.id, renewed)
        return LoggedIn(user, self._open_session(user, address, client))

    def open_session(self, user: User, address: str, client: str = "") -> LoggedIn:
        """For whoever has just proved who he is in another way than by his password."""
        return LoggedIn(user, self._open_session(user, address, client))

    def _open_session(self, user: User, address: str, client: str = "") -> str:
        text, now = token(self._random), self._now()
        shown = clean(client, 300)
        with self._store.write() as tx:
            tx.sessions.remove_expired(now)
            for old in tx.sessions.of_user(user.id)[SESSIONS_PER_USER - 1 :]:
                tx.sessions.remove(old.token_hash)
            tx.sessions.add(Session(sha256(text), user.id, now + SESSION_LIFE, now, now, address[:64], shown))
        return text

    def sessions(self, user: User) -> list[Session]:
        """The open ones, the one used last first."""
        now = self._now()
        with self._store.read() as tx:
            return [session for session in tx.sessions.of_user(user.id) if session.expires_at > now]

    def end_session(self, user: User, public_id: str) -> Session:
        """Raises NotFound."""
        with self._store.write() as tx:
            for session in tx.sessions.of_user(user.id):
                if session.public_id == public_id:
                    tx.sessions.remove(session.token_hash)
                    return session
        raise NotFound

    def end_sessions(self, user: User, keep: str | None = None) -> list[Session]:
        """All but the one whose hash is `keep`; those that have ended."""
        with self._store.write() as tx:
            return self._end_sessions(tx, user, keep)

    def _end_sessions(self, tx: Transaction, user: User, keep: str | None) -> list[Session]:
        ended = [session for session in tx.sessions.of_user(user.id) if session.token_hash != keep]
        for session in ended:
            tx.sessions.remove(session.token_hash)
        return ended

    # --- password ----------------------------------------------------------------------------------------------

    def check_password(self, user: User, password: str) -> None:
        """Before something that a borrowed browser must not do. Raises Invalid, Throttled."""
        key = f"user {user.id}"
        self._login_throttle.check(key)
        with self._store.read() as tx:
            password_hash = tx.users.password_hash(user.id)
        if not self._passwords.matches(password, password_hash):
            self._login_throttle.take(key)
            raise Invalid.field("password", "This is not your password.")

    def change_password(self, user: User, password: str, keep: str | None = None) -> list[Session]:
        """A new one; every session but `keep` ends. Those that have ended. Raises Invalid."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise Invalid.field("new_password", f"A password of {SHORTEST} to {LONGEST} characters is needed.")
        password_hash = self._passwords.hash(password)
        with self._store.write() as tx:
            tx.users.set_password_hash(user.id, password_hash)
            return self._end_sessions(tx, user, keep)

    def credentials_of(self, user: User) -> list[str]:
        """The hashes of his sessions and keys, revoked ones too: what Hub.revoke lets go."""
        with self._store.read() as tx:
            sessions = [session.token_hash for session in tx.sessions.of_user(user.id)]
            return sessions + [key.key_hash for key in tx.api_keys.of_user(user.id)]

    def user(self, user_id: int) -> User | None:
        with self._store.read() as tx:
            return tx.users.get(user_id)

    def user_named(self, login: str) -> User:
        """By name or e-mail address. Raises NotFound."""
        with self._store.read() as tx:
            found = tx.users.by_login(clean(login, NAME_LIMIT + EMAIL_LIMIT))
        if found is None:
            raise NotFound(f"There is no user {login}.")
        return found[0]

    def log_out(self, session_token: str) -> None:
        with self._store.write() as tx:
            tx.sessions.remove(sha256(session_token))

    def user_of_session(self, session_token: str) -> tuple[User, bool]:
        """Whose session it is, and whether it was prolonged just now (daily). Raises Unauthenticated."""
        now = self._now()
        with self._store.read() as tx:
            session = tx.sessions.find(sha256(session_token))
            user = tx.users.get(session.user_id) if session else None
        if session is None or user is None or session.expires_at <= now:
            raise Unauthenticated("The session has ended. Log in again.")
        if now - session.refreshed_at < REFRESH_AFTER:
            return user, False
        with self._store.write() as tx:
            tx.sessions.save(replace(session, expires_at=now + SESSION_LIFE, refreshed_at=now))
        return user, True

    # --- API keys ----------------------------------------------------------------------------------------------

    def user_of_key(self, key: str) -> tuple[User, ApiKey]:
        """Raises Unauthenticated."""
        now = self._now()
        with self._store.read() as tx:
            found = tx.api_keys.find(sha256(key))
            user = tx.users.get(found.user_id) if found else None
        if found is None or user is None or found.revoked_at is not None:
            raise Unauthenticated("This API key is unknown or revoked.")
        if found.expires_at is not None and found.expires_at <= now:
            raise Unauthenticated("This API key has expired.")
        if found.last_used_at is None or now - found.last_used_at > KEY_USE_STEP:
            with self._store.write() as tx:
                # Looked at anew: it may have been revoked since.
                current = tx.api_keys.get(found.id)
                if current is None or current.revoked_at is not None:
                    raise Unauthenticated("This API key is unknown or revoked.")
                tx.api_keys.save(replace(current, last_used_at=now))
        return user, found

    def api_keys(self, user: User) -> list[ApiKey]:
        with self._store.read() as tx:
            return [key for key in tx.api_keys.of_user(user.id) if key.revoked_at is None]

    def create_api_key(
        self, user: User, name: str, scopes: Scopes = ALL_SCOPES, expires_at: datetime | None = None
    ) -> tuple[ApiKey, str]:
        """The key's record and its text, which is shown this once. Raises Invalid, Conflict."""
        name = clean(name, KEY_NAME_LIMIT)
        if not name:
            raise Invalid.field("name", "A name is needed, such as the program that will use the key.")
        if not scopes:
            raise Invalid.field("scopes", "At least one scope is needed.")
        if expires_at is not None and expires_at <= self._now():
            raise Invalid.field("expires_at", "A time in the future is needed.")
        text = f"ors_{token(self._random)}"
        with self._store.write() as tx:
            if sum(key.revoked_at is None for key in tx.api_keys.of_user(user.id)) >= API_KEYS_PER_USER:
                raise Conflict(f"There are {API_KEYS_PER_USER} keys already. Delete one that is not in use.")
            new = ApiKey(
                0, user.id, sha256(text), name, created_at=self._now(), scopes=scopes, expires_at=expires_at
            )
            return tx.api_keys.add(new), text

    def revoke_api_key(self, user: User, key_id: int) -> ApiKey:
        """The key that is no good any more. Raises NotFound."""
        with self._store.write() as tx:
            key = tx.api_keys.get(key_id)
            if key is None or key.user_id != user.id or key.revoked_at is not None:
                raise NotFound
            tx.api_keys.save(replace(key, revoked_at=self._now()))
            return key
