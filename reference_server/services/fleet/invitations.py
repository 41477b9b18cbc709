"""Invitations: a link for one use, 7 days. Whoever has it becomes a member: as a new user, or as the one he is, if his
own organization has nothing that would be lost (fleet-api.md §7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.accounts import Accounts, checked_email
from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Forbidden, NotFound
from reference_server.services.fleet import ids
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import Invitation, Organization, Role
from reference_server.services.fleet.people import check_role, end_keys, is_open, seats_taken
from reference_server.services.fleet.plan import Plan, Quota
from reference_server.services.model import User
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes, sha256, token
from reference_server.services.throttle import Throttle, address_key

LIFE = timedelta(days=7)
MOST_OPEN = 200
GONE = "This invitation is not valid (any more): it was used or taken back, or is older than 7 days. Ask for a new one."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the invited person sees before he accepts. `known`: somebody with that e-mail address has a log-in here."""

    organization: Organization
    invitation: Invitation
    inviter: str
    known: bool


class Invitations:
    """`tries`: of whoever has no log-in, by address. `sent`: invitations of one organization, which may be mail to
    anybody."""

    def __init__(
        self, store: Store, accounts: Accounts, now: Now, random: RandomBytes, plan: Plan, tries: Throttle,
        sent: Throttle,
    ) -> None:  # fmt: skip
        self._store, self._accounts, self._now, self._random = store, accounts, now, random
        self._plan, self._tries, self._sent = plan, tries, sent

    # --- the inviter's side ---

    def list(self, caller: Identity) -> Sequence[Invitation]:
        """The open ones, the newest first."""
        now = self._now()
        with self._store.read() as tx:
            found = tx.fleet.organizations.invitations(caller.organization.id)
            return [each for each in reversed(found) if is_open(each, now)]

    def invite(self, caller: Identity, email: str, role: Role) -> tuple[Invitation, str]:
        """The invitation and what its link carries, which nobody can tell again. It takes the place of an earlier one
        for the same address. Raises Invalid, Forbidden, Conflict, QuotaExceeded, Throttled."""
        check_role(caller, role)
        email = checked_email(email)
        self._sent.take(str(caller.organization.id))
        text, now = token(self._random), self._now()
        with self._store.write() as tx:
            rows = tx.fleet.organizations
            members = {member.user_id for member in rows.members(caller.organization.id)}
            known = tx.users.by_login(email)
            if known is not None and known[0].id in members:
                raise Conflict(f"{email} is in the organization already.")
            for old in rows.invitations(caller.organization.id):
                if not is_open(old, now) or old.email.casefold() == email.casefold():
                    rows.remove_invitation(old.id)
            open_ones = len(rows.invitations(caller.organization.id))
            if open_ones >= MOST_OPEN:
                raise Conflict(f"{MOST_OPEN} invitations are open already. Take one back.")
            self._plan.check(Quota.USERS, seats_taken(tx, caller.organization.id, now))
            made = Invitation(
                0, ids.new_id(ids.INVITATION, self._random), caller.organization.id, email, role, sha256(text),
                caller.person.id, now, now + LIFE,
            )  # fmt: skip
            return rows.add_invitation(made), text

    def revoke(self, caller: Identity, public_id: str) -> None:
        """Raises NotFound."""
        with self._store.write() as tx:
            for each in tx.fleet.organizations.invitations(caller.organization.id):
                if each.public_id == public_id and is_open(each, self._now()):
                    tx.fleet.organizations.remove_invitation(each.id)
                    return
        raise NotFound("There is no such invitation.")

    # --- the invited person's side ---

    def look(self, text: str, address: str) -> Asked:
        """Raises Forbidden, Throttled."""
        self._tries.take(address_key(address))
        with self._store.read() as tx:
            return self._asked(tx, text)

    def _asked(self, tx: Transaction, text: str) -> Asked:
        found = tx.fleet.organizations.invitation(sha256(text))
        organization = tx.fleet.organizations.get(found.organization_id) if found is not None else None
        if found is None or organization is None or not is_open(found, self._now()):
            raise Forbidden(GONE)
        inviter = tx.users.get(found.invited_by)
        known = tx.users.by_login(found.email) is not None
        return Asked(organization, found, inviter.name if inviter else "", known)

    def accept(self, text: str, name: str, password: str, address: str) -> tuple[User, Organization]:
        """As a new user, with the e-mail address that was invited. Raises Forbidden, Invalid, Conflict, Throttled."""
        self._tries.take(address_key(address))
        with self._store.read() as tx:
            asked = self._asked(tx, text)  # before the costly hash
        new, password_hash = self._accounts.new_user(name, password, asked.invitation.email)
        with self._store.write() as tx:
            asked = self._asked(tx, text)
            if tx.users.by_login(asked.invitation.email) is not None:
                raise Conflict("Somebody with this e-mail address is a user already: log in, then open the link again.")
            user = tx.users.add(new, password_hash)
            return user, self._join(tx, user, asked)

    def join(self, user: User, text: str, address: str) -> Organization:
        """As the user he is. Raises Forbidden, Conflict, Throttled."""
        self._tries.take(address_key(address))
        with self._store.write() as tx:
            return self._join(tx, user, self._asked(tx, text))

    def _join(self, tx: Transaction, user: User, asked: Asked) -> Organization:
        join(tx, user, asked.organization, asked.invitation.role, self._now())
        tx.fleet.organizations.save_invitation(replace(asked.invitation, used_at=self._now()))
        return asked.organization


def create_member(
    store: Store, accounts: Accounts, name: str, password: str, email: str, colleague: User, role: Role, now: Now
) -> User:
    """By whoever runs the server: a new user in that colleague's organization, whatever its plan. Raises Invalid,
    Conflict."""
    new, password_hash = accounts.new_user(name, password, email)
    with store.write() as tx:
        user = tx.users.add(new, password_hash)
        join(tx, user, tx.fleet.organizations.of_member(colleague.id)[0], role, now())
        return user


def join(tx: Transaction, user: User, organization: Organization, role: Role, now: datetime) -> None:
    """He leaves his own organization, which goes; his keys end. Raises Conflict: others are in it, or printers are."""
    rows = tx.fleet.organizations
    own, member = rows.of_member(user.id)
    if own.id == organization.id:
        raise Conflict("You are in this organization already.")
    if own.user_id != user.id:
        raise Conflict(f"You are in the organization {own.name}: leave it first.")
    if tx.printers.of_user(user.id):
        raise Conflict("Your own organization has printers: delete them first, or log out and join as a new user.")
    if len(rows.members(own.id)) > 1:
        raise Conflict("There are others in your own organization: remove them first.")
    if (code := tx.codes.valid(user.id, None, now)) is not None:
        tx.codes.save(replace(code, expired_at=now))  # else it would link a printer to an account that nobody sees
    end_keys(tx, user, now)
    rows.put_member(replace(member, organization_id=organization.id, role=role))
    rows.remove(own.id)
