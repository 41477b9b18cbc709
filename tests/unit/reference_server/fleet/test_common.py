"""Ids, scopes and rate limits of the fleet API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reference_server.services.clock import EPOCH
from reference_server.services.fleet import ids
from reference_server.services.fleet.keys import scopes_of
from reference_server.services.fleet.model import ALL_SCOPE_WORDS, ROLE_SCOPES, FleetKey, Member, Role, grants
from reference_server.services.fleet.rate import MOST_BUCKETS, RateLimits


def counter() -> Callable[[int], bytes]:
    numbers = iter(range(1, 1_000_000))
    return lambda size: next(numbers).to_bytes(size, "big")


def test_ids_have_a_prefix_and_twelve_characters() -> None:
    random = counter()
    made = [ids.new_id(ids.PRINTER, lambda size: (random(size) * 2)[-size:]) for _ in range(3)]
    assert all(ids.is_id(ids.PRINTER, each) and len(each) == 16 for each in made)
    assert not ids.is_id(ids.JOB, made[0])
    for wrong in ("prt_ABCDEFGHIJKL", "prt_abcdefghijk", "prt_abcdefghij01", "prt", None, 7):
        assert not ids.is_id(ids.PRINTER, wrong)


@pytest.mark.parametrize(
    ("held", "needed", "may"),
    [
        ("printers:read", "printers:read", True),
        ("printers:read", "printers:control", False),
        ("printers:write", "printers:control", True),
        ("printers:write", "printers:read", False),
        ("printers:*", "printers:control", True),
        ("printers:*", "jobs:read", False),
        ("admin:*", "users:write", True),
        ("users:write", "admin:*", False),
        ("jobs:read", "jobs:write", False),
    ],
)
def test_what_a_scope_grants(held: str, needed: str, may: bool) -> None:
    assert grants({held}, needed) is may


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("scope", ALL_SCOPE_WORDS)
def test_a_key_is_never_worth_more_than_its_maker(role: Role, scope: str) -> None:
    member = Member(1, "usr_x", 1, role, EPOCH)
    key = FleetKey(1, "key_x", 1, 1, "", "k", (scope,), EPOCH)
    both = scopes_of(member, key)
    for needed in ALL_SCOPE_WORDS:
        assert grants(both, needed) == (grants({scope}, needed) and grants(ROLE_SCOPES[role], needed))


def test_a_bucket_fills_again_evenly() -> None:
    clock = [0.0]
    limits = RateLimits(60, lambda: clock[0], lambda: EPOCH)
    assert [limits.take("a").remaining for _ in range(60)] == list(range(59, -1, -1))
    empty = limits.take("a")
    assert (empty.remaining, empty.retry_after, empty.reset) == (0, 60, 3600)
    clock[0] = 59.0
    assert limits.take("a").retry_after == 1
    clock[0] = 60.0
    assert limits.take("a").retry_after == 0
    assert limits.take("b").remaining == 59


def test_a_clock_that_jumps_back_takes_nothing_away() -> None:
    clock = [100.0]
    limits = RateLimits(60, lambda: clock[0], lambda: EPOCH)
    limits.take("a")
    clock[0] = 0.0
    assert limits.take("a").remaining == 58


def test_the_number_of_buckets_is_bounded() -> None:
    limits = RateLimits(2, lambda: 0.0, lambda: EPOCH)
    limits.take("first")
    limits.take("first")
    for number in range(MOST_BUCKETS):
        limits.take(str(number))
    assert limits.take("first").retry_after == 0  # forgotten
