"""A small share of `make fuzz`, and that it finds what it looks for."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from bench import fuzz

SHARE = {"gcode": 60}
"""Of 200,000; the G-code index reads whole files."""


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_share_of_the_fuzz(name: str) -> None:
    found = fuzz.fuzz(name, SHARE.get(name, 250), 4)
    assert found["slowest"] < fuzz.SLOWEST_SECONDS


def test_the_same_seed_gives_the_same_input() -> None:
    first, second, other = (fuzz.Mutator([b'{"a": [1, {"b": "c"}]}'], random.Random(seed)) for seed in (1, 1, 2))
    inputs = [first.next() for _ in range(200)]
    assert inputs == [second.next() for _ in range(200)] != [other.next() for _ in range(200)]
    assert len(set(inputs)) > 100


def test_a_crash_is_a_fault_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def fragile() -> Iterator[tuple[fuzz.Feed, list[bytes]]]:
        def feed(data: bytes) -> None:
            data.decode("ascii")

        yield feed, [b"seed"]

    monkeypatch.setitem(fuzz.TARGETS, "fragile", fragile)
    with pytest.raises(fuzz.Fault, match=r"fragile, frame \d+ of seed 1: UnicodeDecodeError"):
        fuzz.fuzz("fragile", 1000, 1)
