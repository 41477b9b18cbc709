"""A small share of `python -m bench soak`: statuses, pictures and new connections leave no memory behind."""

from __future__ import annotations

import pytest

from bench import soak

TURNS = 20


@pytest.mark.parametrize("kind", soak.KINDS)
def test_memory_does_not_grow(kind: str) -> None:
    found = soak.soak(kind, TURNS, settle=0.5)
    assert found.connections >= TURNS // soak.RECONNECT_EVERY
    assert found.pictures >= TURNS / 2
    assert found.statuses > TURNS
    assert found.growth < 3.0  # what is loaded with first use; the whole run, of 2,000 turns, keeps within 1 MB
