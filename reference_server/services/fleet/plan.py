"""The operator's plan: how many printers, queued jobs and people an organization may have (fleet-api.md §1, §7).

What adds one asks in the transaction that adds it:

    plan.check_printers(tx, account_id)
    plan.check(Quota.JOBS_QUEUED, used=tx.fleet.jobs.count_waiting(organization_id))
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from reference_server.services.fleet.errors import QuotaExceeded

if TYPE_CHECKING:
    from reference_server.services.ports import Transaction  # which the configuration does not need


class Quota(str, Enum):
    """PRINTERS: neither archived nor deleted. JOBS_QUEUED: jobs that wait. USERS: members, and open invitations."""

    PRINTERS = "printers"
    JOBS_QUEUED = "jobs_queued"
    USERS = "users"


_WORDS = {Quota.PRINTERS: "printers", Quota.JOBS_QUEUED: "jobs in the queue", Quota.USERS: "people"}


@dataclass(frozen=True, slots=True)
class Plan:
    """The same for every organization of the server; 0 = no limit."""

    printers: int = 0
    jobs_queued: int = 0
    users: int = 0

    def limit(self, quota: Quota) -> int | None:
        """None: no limit."""
        return {Quota.PRINTERS: self.printers, Quota.JOBS_QUEUED: self.jobs_queued, Quota.USERS: self.users}[
            quota
        ] or None

    def check_printers(self, tx: Transaction, account_id: int) -> None:
        """Raises QuotaExceeded if that account may not have one more."""
        if self.printers:
            self.check(Quota.PRINTERS, used=len(tx.fleet.printers.of_account(account_id)))

    def check(self, quota: Quota, used: int, adding: int = 1) -> None:
        """Raises QuotaExceeded if there is no room for `adding` more beside the `used` ones."""
        limit = self.limit(quota)
        if limit is not None and used + adding > limit:
            raise QuotaExceeded(
                f"The plan of this server allows {limit} {_WORDS[quota]}, and there are {used}.",
                {"name": quota.value, "limit": limit, "used": used},
            )


UNLIMITED = Plan()
