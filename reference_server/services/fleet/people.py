"""The organization's people: who is in it, in which role, who leaves (fleet-api.md §7; docs/people.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Forbidden, NotFound
from reference_server.services.fleet.errors import ScopeMissing
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import ADMIN_SCOPE, Invitation, Member, Role
from reference_server.services.fleet.ports import Window
from reference_server.services.model import User
from reference_server.services.ports import Store, Transaction

USERS_WRITE = "users:write"

Person = tuple[Member, User]


def end_keys(tx: Transaction, user: User, now: datetime) -> None:
    """Those for the Obico API. A key is given to a program for the printers of one organization: it does not come along
    into another."""
    for key in tx.api_keys.of_user(user.id):
        if key.revoked_at is None:
            tx.api_keys.save(replace(key, revoked_at=now))


def is_open(invitation: Invitation, now: datetime) -> bool:
    return invitation.used_at is None and now < invitation.expires_at


def seats_taken(tx: Transaction, organization_id: int, now: datetime) -> int:
    """Members, and those who are asked to become one."""
    asked = sum(is_open(each, now) for each in tx.fleet.organizations.invitations(organization_id))
    return len(tx.fleet.organizations.members(organization_id)) + asked


def check_role(caller: Identity, role: Role) -> None:
    """Whether the caller may give that role, or take it from somebody. Nobody raises anybody above himself, and a key
    that may not do everything does not make a person who may. Raises Forbidden, ScopeMissing."""
    if role.rank > caller.member.role.rank:
        raise Forbidden(f"Your role, {caller.member.role.value}, is below {role.value}.")
    if role.rank >= Role.ADMIN.rank and not caller.may(ADMIN_SCOPE):
        raise ScopeMissing(ADMIN_SCOPE, f"To give or take the role {role.value} needs the scope {ADMIN_SCOPE}.")


class People:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def members(self, caller: Identity) -> Sequence[Member]:
        with self._store.read() as tx:
            return tx.fleet.organizations.members(caller.organization.id)

    def list(self, caller: Identity, window: Window, role: Role | None) -> tuple[Sequence[Person], int]:
        with self._store.read() as tx:
            return tx.fleet.organizations.people(caller.organization.id, window, role)

    def get(self, caller: Identity, public_id: str) -> Person:
        """`me`: oneself, whom everybody may see. Raises NotFound, ScopeMissing."""
        with self._store.read() as tx:
            if public_id in {"me", caller.member.public_id}:
                return tx.fleet.organizations.of_member(caller.person.id)[1], caller.person
            if not caller.may(USERS_WRITE):
                raise ScopeMissing(USERS_WRITE)
            return _person(tx, caller, public_id)

    def change(self, caller: Identity, public_id: str, role: Role) -> Person:
        """Raises NotFound, Forbidden, Conflict."""
        with self._store.write() as tx:
            member, user = _person(tx, caller, public_id)
            check_role(caller, member.role)
            check_role(caller, role)
            if user.id == caller.account.id and role is not Role.OWNER:
                raise Conflict("The printers are this person's: whoever founded the organization stays its owner.")
            member = replace(member, role=role)
            tx.fleet.organizations.put_member(member)
            return member, user

    def remove(self, caller: Identity, public_id: str) -> User:
        """He has an organization of his own again, with nothing in it; his keys for this one are no good any more.
        Whoever is logged in may leave by himself. Raises NotFound, ScopeMissing, Forbidden,
        Conflict."""
        leaves = public_id in {"me", caller.member.public_id} and caller.key is None
        if not leaves and not caller.may(USERS_WRITE):
            raise ScopeMissing(USERS_WRITE)
        with self._store.write() as tx:
            member, user = _person(tx, caller, caller.member.public_id if leaves else public_id)
            if not leaves:
                check_role(caller, member.role)
            if user.id == caller.account.id:
                raise Conflict("The printers are this person's: whoever founded the organization stays its owner.")
            tx.fleet.keys.revoke_of(caller.organization.id, user.id, self._now())
            end_keys(tx, user, self._now())
            tx.fleet.organizations.remove_member(user.id)
            tx.fleet.organizations.of_member(user.id)
            return user


def _person(tx: Transaction, caller: Identity, public_id: str) -> Person:
    """Raises NotFound, also for another organization's."""
    member = tx.fleet.organizations.member(public_id)
    user = tx.users.get(member.user_id) if member is not None else None
    if member is None or user is None or member.organization_id != caller.organization.id:
        raise NotFound("There is no such user.")
    return member, user
