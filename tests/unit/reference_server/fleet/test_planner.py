"""The scheduler: what it must never do, for any farm and any queue; and what it tells people (fleet-api.md §3)."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.services.fleet.planner import (
    Assignment,
    LoadedMaterial,
    PrinterSlot,
    QueuedJob,
    plan,
    rank,
    why_waiting,
)

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
KINDS = ("PLA", "pla", "PETG", "ABS")
COLORS = ("Black", "black", "Red", None)


def _fits(job: QueuedJob, printer: PrinterSlot) -> bool:
    """The rules once more, as plainly as they can be said."""
    if job.printer_id not in (None, printer.printer_id) or job.group_id not in (None, printer.group_id):
        return False
    if job.model is not None and job.model.lower() != printer.model.lower():
        return False
    if {tag.lower() for tag in job.tags} - {tag.lower() for tag in printer.tags}:
        return False
    if job.material is None and job.color is None and not printer.materials:
        return True
    for loaded in printer.materials:
        right = job.material is None or loaded.type.lower() == job.material.lower()
        right = right and (job.color is None or (loaded.color or "").lower() == job.color.lower())
        left = loaded.remaining_grams
        if right and (left is None or (left > 0 and left >= (job.grams or 0))):
            return True
    return False


_maybe = st.one_of(st.none(), st.integers(1, 3))
_tags = st.frozensets(st.sampled_from(("enclosed", "Enclosed", "fast", "mmu")), max_size=2)
_printers = st.lists(
    st.builds(
        PrinterSlot,
        printer_id=st.integers(1, 9),
        model=st.sampled_from(("MK4", "mk4", "Voron")),
        group_id=_maybe,
        tags=_tags,
        online=st.sampled_from((True, True, True, False)),
        idle=st.sampled_from((True, True, True, False)),
        bed_clear=st.sampled_from((True, True, True, False)),
        materials=st.lists(
            st.builds(
                LoadedMaterial,
                st.sampled_from(KINDS),
                st.sampled_from(COLORS),
                st.sampled_from((None, 0.0, 10.0, 45.0, 45.2, 900.0)),
            ),
            max_size=2,
        ).map(tuple),
    ),
    max_size=8,
    unique_by=lambda printer: printer.printer_id,
)
_jobs = st.lists(
    st.builds(
        QueuedJob,
        job_id=st.integers(1, 50),
        priority=st.integers(0, 3),
        created_at=st.integers(0, 3).map(lambda minutes: START + timedelta(minutes=minutes)),
        waiting=st.integers(0, 4),
        printer_id=st.one_of(st.none(), st.none(), st.none(), st.integers(1, 9)),
        model=st.sampled_from((None, None, "MK4", "Voron", "Mini")),
        group_id=st.one_of(st.none(), st.none(), st.integers(1, 3)),
        tags=_tags.map(lambda tags: frozenset(list(tags)[:1])),
        material=st.sampled_from((None, None, "PLA", "PETG", "ABS")),
        color=st.sampled_from((None, None, "Black", "Red")),
        grams=st.sampled_from((None, 0.0, 10.0, 45.2, 500.0)),
    ),
    max_size=12,
    unique_by=lambda job: job.job_id,
)


@settings(max_examples=60 if settings().max_examples == 100 else settings().max_examples)
@given(_printers, _jobs, st.randoms(use_true_random=False))
def test_what_holds_for_every_farm_and_every_queue(
    printers: list[PrinterSlot], jobs: list[QueuedJob], chance: random.Random
) -> None:
    assignments = plan(printers, jobs)
    _nothing_goes_where_it_must_not(printers, jobs, assignments)
    _nobody_is_left_out_for_somebody_who_comes_later(printers, jobs, assignments)
    assert len(assignments) == _most(printers, jobs)
    for job in jobs:
        could = any(printer.ready and _fits(job, printer) for printer in printers)
        assert why_waiting(job, printers).startswith("it starts as soon as") == could
    chance.shuffle(printers)
    chance.shuffle(jobs)
    assert plan(printers, iter(jobs)) == assignments


def _nothing_goes_where_it_must_not(
    printers: list[PrinterSlot], jobs: list[QueuedJob], assignments: list[Assignment]
) -> None:
    slots = {printer.printer_id: printer for printer in printers}
    waiting = {job.job_id: job for job in jobs}
    for assignment in assignments:
        printer = slots[assignment.printer_id]
        assert (printer.online, printer.idle, printer.bed_clear) == (True, True, True)
        assert _fits(waiting[assignment.job_id], printer)
    assert len({assignment.printer_id for assignment in assignments}) == len(assignments)
    for job_id, copies in Counter(assignment.job_id for assignment in assignments).items():
        assert copies <= waiting[job_id].waiting


def _nobody_is_left_out_for_somebody_who_comes_later(
    printers: list[PrinterSlot], jobs: list[QueuedJob], assignments: list[Assignment]
) -> None:
    got = Counter(assignment.job_id for assignment in assignments)
    taken = {assignment.printer_id: assignment.job_id for assignment in assignments}
    ranks = {job.job_id: rank(job) for job in jobs}
    for job in jobs:
        if got[job.job_id] < job.waiting:
            for printer in printers:
                if printer.ready and _fits(job, printer):
                    assert printer.printer_id in taken, "a printer that it could use stands idle"
                    assert ranks[taken[printer.printer_id]] <= rank(job)


def _most(printers: list[PrinterSlot], jobs: list[QueuedJob]) -> int:
    """How many copies any plan could start (Kuhn's way, over single copies)."""
    copies = [job for job in jobs for _ in range(job.waiting)]
    holder: dict[int, int] = {}

    def seat(index: int, seen: set[int]) -> bool:
        for printer in printers:
            if printer.ready and printer.printer_id not in seen and _fits(copies[index], printer):
                seen.add(printer.printer_id)
                if printer.printer_id not in holder or seat(holder[printer.printer_id], seen):
                    holder[printer.printer_id] = index
                    return True
        return False

    return sum(seat(index, set()) for index in range(len(copies)))


def _job(job_id: int, priority: int = 2, minutes: int = 0, **wish: object) -> QueuedJob:
    return QueuedJob(job_id, priority, START + timedelta(minutes=minutes), **wish)  # type: ignore[arg-type]


def test_priority_before_age_before_id() -> None:
    jobs = [_job(4, 2, 1), _job(3, 2, 1), _job(2, 1, 9), _job(1, 2, 2)]
    for expected in (2, 3, 4, 1):
        (assignment,) = plan([PrinterSlot(7)], jobs)
        assert assignment.job_id == expected
        jobs = [job for job in jobs if job.job_id != expected]


def test_a_job_leaves_the_printer_that_others_need() -> None:
    printers = [PrinterSlot(1, tags=frozenset({"enclosed"})), PrinterSlot(2), PrinterSlot(3)]
    anywhere, enclosed = _job(1), _job(2, 3, tags=frozenset({"enclosed"}))
    assert plan(printers, [anywhere, enclosed]) == [Assignment(1, 2), Assignment(2, 1)]
    everywhere = _job(1, waiting=3)  # comes first, and can use all three
    assert plan(printers, [everywhere, enclosed]) == [Assignment(1, 1), Assignment(1, 2), Assignment(1, 3)]
    red, black = LoadedMaterial("PLA", "Red"), LoadedMaterial("PLA", "Black")
    colors = [PrinterSlot(1, materials=(red,)), PrinterSlot(2, materials=(black,)), PrinterSlot(3, materials=(black,))]
    crowd = [_job(1, material="PLA"), _job(2, color="red"), _job(3, color="black"), _job(4, color="black")]
    assert {assignment.job_id: assignment.printer_id for assignment in plan(colors, crowd)}[2] == 1


def test_an_only_printer_is_not_lost_to_a_less_urgent_job() -> None:
    printers = [PrinterSlot(1, model="MK4"), PrinterSlot(2, model="Voron")]
    assert plan(printers, [_job(1, 3), _job(2, 0, model="mk4"), _job(3, 3, 1)]) == [Assignment(2, 1), Assignment(1, 2)]


def test_the_queue_is_not_read_when_no_printer_is_ready() -> None:
    queue = iter([_job(1)])
    assert plan([PrinterSlot(1, bed_clear=False)], queue) == []
    assert next(queue).job_id == 1


def test_ten_thousand_jobs_for_two_hundred_printers_are_planned_at_once() -> None:
    """The bench has the true figure; here only that nothing grows with jobs times printers (it would be seconds)."""
    chance = random.Random(5)
    printers = [
        PrinterSlot(
            number,
            chance.choice(("MK4", "Voron", "Mini")),
            chance.randrange(5),
            frozenset(chance.sample(("enclosed", "fast", "mmu"), 2)),
            materials=(LoadedMaterial(chance.choice(KINDS), chance.choice(COLORS), chance.uniform(0, 1000)),),
        )
        for number in range(200)
    ]
    jobs = [
        _job(
            number,
            chance.randrange(4),
            chance.randrange(9000),
            waiting=chance.randrange(1, 4),
            material=chance.choice(KINDS),
            grams=chance.uniform(0, 1500),
            printer_id=chance.choice((None, None, chance.randrange(200))),
            tags=frozenset(chance.sample(("enclosed", "fast", "mmu"), chance.randrange(3))),
        )
        for number in range(10_000)
    ]
    begun = time.process_time()
    assignments = plan(printers, jobs)
    assert time.process_time() - begun < 0.5
    assert len(assignments) > 150


OFF, BUSY, FULL = {"online": False}, {"idle": False}, {"bed_clear": False}
PLA = (LoadedMaterial("PLA", "Black", 20),)


@pytest.mark.parametrize(
    ("sentence", "wish", "slots"),
    [
        ("there is no printer yet", {}, []),
        ("its printer is gone", {"printer_id": 9}, [{}]),
        ("printer P1 is offline", {"printer_id": 1}, [OFF, {}]),
        ("printer P1 is busy", {"printer_id": 1}, [BUSY, {}]),
        ("the bed of printer P1 is not clear", {"printer_id": 1}, [FULL, {}]),
        ("printer P1 is not a MK4", {"printer_id": 1, "model": "MK4"}, [{}]),
        ("printer P1 is not in its group", {"printer_id": 1, "group_id": 3}, [{}]),
        ("printer P1 does not have the tag fast", {"printer_id": 1, "tags": frozenset({"fast"})}, [{}]),
        ("printer P1 does not have 45 g of PLA loaded", {"printer_id": 1, "material": "PLA", "grams": 45.2},
         [{"materials": PLA}]),
        ("no printer is in its group", {"group_id": 3}, [{}]),
        ("no printer is a MK4", {"model": "MK4"}, [{}]),
        ("no printer in its group is a MK4", {"model": "MK4", "group_id": 3}, [{"group_id": 3}]),
        ("no printer has the tag enclosed", {"tags": frozenset({"enclosed"})}, [{}]),
        ("no printer has PETG loaded", {"material": "PETG"}, [{"materials": PLA}, {}]),
        ("no printer has 45 g of Black PLA loaded", {"material": "PLA", "color": "Black", "grams": 45.2},
         [{"materials": PLA}]),
        ("no printer that fits has Red PLA loaded", {"material": "PLA", "color": "Red", "model": "MK4"},
         [{"model": "MK4", "materials": PLA}]),
        ("the beds of 3 printers that fit are not clear", {}, [FULL, FULL, FULL]),
        ("the 2 printers that fit are offline", {}, [OFF, OFF]),
        ("the 2 printers that fit are busy", {}, [BUSY, BUSY]),
        ("the only printer that fits, P2, is offline", {"model": "MK4"}, [{}, {"model": "mk4", **OFF}]),
        ("the only printer that fits, P1, has a bed that is not clear", {}, [FULL]),
        ("of the 3 printers that fit, none is ready: 1 busy, 1 offline, 1 with a bed that is not clear", {},
         [OFF, BUSY, FULL]),
        ("it starts as soon as the jobs before it have their printers", {}, [OFF, {}]),
    ],
)  # fmt: skip
def test_one_plain_sentence(sentence: str, wish: dict[str, object], slots: list[dict[str, object]]) -> None:
    printers = [
        PrinterSlot(number, name=f"P{number}", **slot)  # type: ignore[arg-type]
        for number, slot in enumerate(slots, 1)
    ]
    assert why_waiting(_job(1, **wish), printers) == sentence  # type: ignore[arg-type]
