"""Keys of the fleet API: shown once, kept as SHA-256, never worth more than whoever made them (fleet-api.md §1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, NotFound, Unauthenticated
from reference_server.services.fleet import ids
from reference_server.services.fleet.model import (
    ALL_SCOPE_WORDS,
    ROLE_SCOPES,
    FleetKey,
    Member,
    Organization,
    grants,
)
from reference_server.services.fleet.ports import Window
from reference_server.services.model import User
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes, sha256, token
from reference_server.services.text import clean

PREFIX = "pf_live_"
NAME_LIMIT = 100
KEYS_PER_ORGANIZATION = 200
KEY_USE_STEP = timedelta(minutes=5)
"""How exactly `last_used_at` is kept: one write in so long."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: `account` is the user whose printers the organization's are, `person` who it really is, `scopes` what
    both key and role allow."""

    account: User
    person: User
    organization: Organization
    member: Member
    scopes: frozenset[str]
    key: FleetKey | None = None

    def may(self, scope: str) -> bool:
        return grants(self.scopes, scope)


def scopes_of(member: Member, key: FleetKey | None = None) -> frozenset[str]:
    """What a person may do by role and, with a key, by that as well."""
    allowed = ROLE_SCOPES[member.role]
    if key is None:
        return allowed
    held = frozenset(key.scopes)
    both = {scope for scope in ALL_SCOPE_WORDS if grants(held, scope) and grants(allowed, scope)}
    return frozenset(both)


class Keys:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def identify_person(self, user: User) -> Identity:
        """Of a log-in."""
        with self._store.read() as tx:
            return self._identity(tx, user.id, None)

    def identify(self, text: str) -> Identity:
        """Of a key. Raises Unauthenticated: unknown, revoked, expired, or its maker has gone."""
        now = self._now()
        with self._store.read() as tx:
            key = tx.fleet.keys.find(sha256(text)) if text.startswith(PREFIX) else None
            if key is None or key.revoked_at is not None:
                raise Unauthenticated("This API key is unknown or revoked.")
            if key.expires_at is not None and key.expires_at <= now:
                raise Unauthenticated("This API key has expired.")
            identity = self._identity(tx, key.user_id, key)
        if key.last_used_at is None or now - key.last_used_at > KEY_USE_STEP:
            with self._store.write() as tx:
                current = tx.fleet.keys.get(key.public_id)  # looked at anew: it may have been revoked since
                if current is None or current.revoked_at is not None:
                    raise Unauthenticated("This API key is unknown or revoked.")
                tx.fleet.keys.save(replace(current, last_used_at=now))
        return identity

    @staticmethod
    def _identity(tx: Transaction, user_id: int, key: FleetKey | None) -> Identity:
        try:
            organization, member = tx.fleet.organizations.of_member(user_id)
        except NotFound:
            raise Unauthenticated("Whoever made this API key has left.") from None
        person, account = tx.users.get(user_id), tx.users.get(organization.user_id)
        if person is None or account is None or (key is not None and key.organization_id != organization.id):
            raise Unauthenticated("Whoever made this API key has left.")
        return Identity(account, person, organization, member, scopes_of(member, key), key)

    def create(
        self, caller: Identity, name: str, scopes: Sequence[str], expires_at: datetime | None = None
    ) -> tuple[FleetKey, str]:
        """The key's record and its text, which is shown this once. Raises Invalid, Conflict."""
        name = clean(name, NAME_LIMIT)
        if not name:
            raise Invalid.field("name", "A name is needed, such as the program that will use the key.")
        unknown = [scope for scope in scopes if scope not in ALL_SCOPE_WORDS]
        if unknown or not scopes:
            raise Invalid.field("scopes", f"At least one is needed, out of: {', '.join(ALL_SCOPE_WORDS)}.")
        beyond = [scope for scope in scopes if not caller.may(scope)]
        if beyond:
            raise Invalid.field("scopes", f"You may not do this yourself: {', '.join(beyond)}.")
        if expires_at is not None and expires_at <= self._now():
            raise Invalid.field("expires_at", "A time in the future is needed.")
        text = PREFIX + token(self._random, 32)
        with self._store.write() as tx:
            if tx.fleet.keys.list(caller.organization.id, Window(limit=1))[1] >= KEYS_PER_ORGANIZATION:
                raise Conflict(f"There are {KEYS_PER_ORGANIZATION} keys already. Delete one that is not in use.")
            key = FleetKey(
                0, ids.new_id(ids.KEY, self._random), caller.organization.id, caller.person.id, sha256(text), name,
                tuple(dict.fromkeys(scopes)), self._now(), expires_at,
            )  # fmt: skip
            return tx.fleet.keys.add(key), text

    def list(self, caller: Identity, window: Window) -> tuple[Sequence[FleetKey], int]:
        with self._store.read() as tx:
            return tx.fleet.keys.list(caller.organization.id, window)

    def revoke(self, caller: Identity, public_id: str) -> FleetKey:
        """Raises NotFound."""
        with self._store.write() as tx:
            key = tx.fleet.keys.get(public_id)
            if key is None or key.organization_id != caller.organization.id or key.revoked_at is not None:
                raise NotFound("There is no such API key.")
            key = replace(key, revoked_at=self._now())
            tx.fleet.keys.save(key)
            return key
