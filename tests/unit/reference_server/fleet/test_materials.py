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
    is_in,
    print_of,
    put_back,
    refilled,
    told,
)
from reference_server.services.fleet.print_model import FleetPrint, PrintOutcome, outcome_of
from reference_server.services.model import EndedReason, Print

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


def job(length: float | None = 1000, ended: timedelta = MINUTE, **fields: object) -> Print:
    start = Print(7, 1, 1, 0, "part.gcode", EPOCH, finished_at=EPOCH + ended, filament_used=length)
    return replace(start, **fields)  # type: ignore[arg-type] # fields by name


def ended(
    spool: Material | None, told: Print, now: timedelta, before: FleetPrint | None = None
) -> tuple[Material, FleetPrint]:
    assert told.ended_at is not None
    after, row = print_of(told, told.ended_at, EPOCH + now, spool, before)
    assert after is not None
    return after, row


def test_corrections_in_any_number_end_where_one_word_would_have() -> None:
    chance = random.Random(4)
    for _ in range(300):
        start = material(remaining_weight=chance.uniform(0, 60), density=chance.choice([None, 1.0]))
        spool, row = start, None
        lengths = [chance.choice([None, 0.0, chance.uniform(0, 20_000)]) for _ in range(chance.randint(1, 5))]
        for number, length in enumerate(lengths):
            spool, row = ended(spool, job(length), (2 + number) * MINUTE, row)
        once, last = ended(start, job(lengths[-1]), 9 * MINUTE)
        assert spool.remaining_weight == pytest.approx(once.remaining_weight, abs=0.01)
        assert row is not None
        assert (row.grams, row.taken) == pytest.approx((last.grams, last.taken), abs=0.01)
        assert 0 <= spool.remaining_weight <= start.remaining_weight + 0.01
        assert put_back(spool, row).remaining_weight == pytest.approx(start.remaining_weight, abs=0.01)


def test_a_weighing_stands() -> None:
    spool = material(weighed_at=EPOCH + 60 * MINUTE, remaining_weight=500)
    late, row = ended(spool, job(), 61 * MINUTE)
    assert (late.remaining_weight, row.taken) == (500, 0)
    assert row.grams == pytest.approx(grams(1000))
    _, known = ended(material(), job(None), 59 * MINUTE)
    assert ended(spool, job(), 61 * MINUTE, known)[0].remaining_weight == 500
    assert put_back(spool, replace(known, taken=30.0)).remaining_weight == 500
    fresh, _ = ended(spool, job(ended=58 * MINUTE), 61 * MINUTE)
    assert fresh.remaining_weight < 500  # clocks differ by some minutes
    assert is_in(material(loaded_at=EPOCH + MINUTE), EPOCH)
    assert not is_in(material(loaded_at=EPOCH + 60 * MINUTE), EPOCH)
    assert not is_in(material(loaded_at=None), EPOCH)


def test_the_farms_side_of_a_print() -> None:
    spool, row = ended(material(cost_per_kg=20.0, diameter=2.85, density=1.1), job(2000, print_time=50), MINUTE)
    weight = grams(2000, 1.1, 2.85)
    assert (row.seconds, row.outcome, row.mm) == (50, PrintOutcome.COMPLETED, 2000)
    assert (row.grams, row.cost, row.taken) == pytest.approx((weight, weight * 0.02, weight))
    assert spool.remaining_weight == pytest.approx(1000 - weight, abs=0.001)
    none, plain = print_of(job(), EPOCH + MINUTE, EPOCH, None)
    assert none is None
    assert (plain.material_id, plain.cost, plain.taken, plain.seconds) == (None, 0, 0, 60)
    assert plain.grams == pytest.approx(grams(1000))
    for reason, outcome in (
        (EndedReason.ERROR, PrintOutcome.FAILED), (EndedReason.CANCELLED, PrintOutcome.CANCELLED),
        (EndedReason.LOST, PrintOutcome.UNKNOWN), (EndedReason.DONE, PrintOutcome.COMPLETED),
    ):  # fmt: skip
        assert outcome_of(job(ended_reason=reason)) is outcome
    assert outcome_of(job(finished_at=None, cancelled_at=EPOCH)) is PrintOutcome.CANCELLED


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
