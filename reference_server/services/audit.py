"""The audit log: who did what, when, from which address. Kept by count; what was refused has a bound of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reference_server.services.clock import Now
from reference_server.services.errors import Forbidden
from reference_server.services.model import User
from reference_server.services.ports import Store
from reference_server.services.text import clean

MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`user_name`: as it was then (of a failed log-in: as it was typed). `via`: `web`, `key <name>`, `agent`, or
    `command line`. `subject`: what it was done to, such as `printer 3`. `ok` False: it was refused. `account_id`: the
    user whose things it was about (services/fleet/model.py)."""

    id: int
    at: datetime
    user_id: int | None
    user_name: str
    via: str
    address: str
    action: str
    subject: str
    ok: bool
    account_id: int | None = None


class Audit:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def note(
        self, action: str, *, user: User | None = None, name: str = "", via: str = "web", address: str = "",
        subject: str = "", ok: bool = True, account_id: int | None = None,
    ) -> None:  # fmt: skip
        """`account_id` None: of the organization that the user is in. Raises StoreFailed."""
        entry = AuditEntry(
            0, self._now(), user.id if user else None, user.name if user else clean(name, 300), clean(via, 120),
            address[:64], action[:100], clean(subject, 300), ok, account_id,
        )  # fmt: skip
        with self._store.write() as tx:
            if account_id is None and user is not None and tx.users.get(user.id) is not None:
                entry = replace(entry, account_id=tx.fleet.organizations.of_member(user.id)[0].user_id)
            tx.audit.add(entry)

    def newest(self, user: User, start: int, limit: int) -> tuple[Sequence[AuditEntry], int]:
        """A page, newest first, and how many there are. Raises Forbidden for anybody but the owner."""
        if not user.is_owner:
            raise Forbidden("Only the owner of this server sees its audit log.")
        with self._store.read() as tx:
            return tx.audit.newest(start, min(limit, MOST_AT_ONCE))

    def of_account(self, account_id: int, start: int, limit: int) -> tuple[Sequence[AuditEntry], int]:
        """The same for one organization."""
        with self._store.read() as tx:
            return tx.audit.newest(start, min(limit, MOST_AT_ONCE), account_id)
