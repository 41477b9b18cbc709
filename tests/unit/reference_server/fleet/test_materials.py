"""Spools and filament: densities, grams, corrections, what is told."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from reference_server.services.clock import EPOCH
from reference_server.services.fleet.filament import density_of_type, grams
from reference_server.services.fleet.material_model import (
    Material,
    MaterialStatus,
    MaterialUse,
    is_in,
    refilled,
    told,
    use_of,
)

MINUTE = timedelta(minutes=1)


def material(**fields: object) -> Material:
    start = Material(1, "mat_x", 1, "PLA", EPOCH, EPOCH, EPOCH, loaded_at=EPOCH, printer_id=1)
    return replace(start, **fields)  # type: ignore[arg-type] # fields by name


@pytest.mark.parametrize(
    ("kind", "density"),
    [("PLA", 1.24), ("pla+", 1.24), ("PETG-CF", 1.27), ("PA6", 1.14), ("Nylon", 1.14), ("TPU 95A", 1.22), ("PP", 0.89),
     ("Wood", None), ("", None), ("3D", None)],
)  # fmt: skip
def test_densities(kind: str, density: float | None) -> None:
    assert density_of_type(kind) == density


def test_grams_of_a_spool() -> None:
    assert grams(335_280, 1.24, 1.75) == pytest.approx(1000, rel=1e-3)  # a kilogram of PLA is some 335 m


def test_corrections_in_any_number_end_where_one_word_would_have() -> None:
    chance = random.Random(4)
    for _ in range(300):
        start = material(remaining_weight=chance.uniform(0, 60), density=chance.choice([None, 1.0]))
        spool, use = start, None
        lengths = [chance.choice([None, 0.0, chance.uniform(0, 20_000)]) for _ in range(chance.randint(1, 5))]
        for number, length in enumerate(lengths):
            spool, use = use_of(spool, use, 7, 1, length, EPOCH + MINUTE, EPOCH + (2 + number) * MINUTE)
        once, last = use_of(start, None, 7, 1, lengths[-1], EPOCH + MINUTE, EPOCH + 9 * MINUTE)
        assert spool.remaining_weight == pytest.approx(once.remaining_weight, abs=0.01)
        assert use is not None
        assert (use.grams, use.taken) == pytest.approx((last.grams, last.taken), abs=0.01)
        assert 0 <= spool.remaining_weight <= start.remaining_weight + 0.01


def test_a_weighing_stands() -> None:
    spool = material(weighed_at=EPOCH + 60 * MINUTE, remaining_weight=500)
    late, use = use_of(spool, None, 7, 1, 1000, EPOCH, EPOCH + 61 * MINUTE)
    assert (late.remaining_weight, use.taken) == (500, 0)
    assert use.grams == pytest.approx(grams(1000))
    known = MaterialUse(7, 1, 1, EPOCH, EPOCH + 59 * MINUTE, None)
    assert use_of(spool, known, 7, 1, 1000, EPOCH, EPOCH + 61 * MINUTE)[0].remaining_weight == 500
    fresh, _ = use_of(spool, None, 7, 1, 1000, EPOCH + 58 * MINUTE, EPOCH + 61 * MINUTE)
    assert fresh.remaining_weight < 500  # clocks differ by some minutes
    assert is_in(material(loaded_at=EPOCH + MINUTE), EPOCH)
    assert not is_in(material(loaded_at=EPOCH + 60 * MINUTE), EPOCH)
    assert not is_in(material(loaded_at=None), EPOCH)


@pytest.mark.parametrize(
    ("left", "threshold", "status", "names"),
    [
        (500, 100, MaterialStatus.ACTIVE, ()), (100, 100, MaterialStatus.LOW, ("material.low",)),
        (0, 100, MaterialStatus.EMPTY, ("material.low", "material.empty")), (1, None, MaterialStatus.ACTIVE, ()),
        (0, None, MaterialStatus.EMPTY, ("material.empty",)), (1, 0, MaterialStatus.ACTIVE, ()),
    ],
)  # fmt: skip
def test_what_is_told_and_only_once(
    left: float, threshold: float | None, status: MaterialStatus, names: tuple[str, ...]
) -> None:
    spool = material(remaining_weight=left, reorder_threshold=threshold)
    assert spool.status is status
    after, found = told(spool)
    assert found == names
    assert told(after) == (after, ())
    assert refilled(after) == after
    full = refilled(replace(after, remaining_weight=1000.0))
    assert (full.low_told, full.empty_told) == (False, False)
