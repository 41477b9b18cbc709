"""The operator's plan."""

from __future__ import annotations

import pytest

from reference_server.services.fleet.errors import QuotaExceeded
from reference_server.services.fleet.plan import UNLIMITED, Plan, Quota


def test_no_limit() -> None:
    for quota in Quota:
        assert UNLIMITED.limit(quota) is None
        UNLIMITED.check(quota, 10**6)


def test_a_limit_leaves_room_up_to_itself() -> None:
    plan = Plan(printers=3, jobs_queued=10)
    plan.check(Quota.PRINTERS, 2)
    plan.check(Quota.JOBS_QUEUED, 0, adding=10)
    plan.check(Quota.USERS, 99)
    with pytest.raises(QuotaExceeded) as refused:
        plan.check(Quota.PRINTERS, 3)
    assert refused.value.details == {"name": "printers", "limit": 3, "used": 3}
    with pytest.raises(QuotaExceeded, match="10 jobs in the queue"):
        plan.check(Quota.JOBS_QUEUED, 1, adding=10)
