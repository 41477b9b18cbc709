"""A farm's data folder: printers in groups, each with a spool, months of prints, a long queue. Written in bulk before
the server starts; the same seed writes the same farm."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from reference_server.app import make_accounts, open_database
from reference_server.services.clock import utc_now
from reference_server.services.fleet import ids
from reference_server.services.fleet.jobs.model import Job, JobState, Priority
from reference_server.services.fleet.keys import Keys
from reference_server.services.fleet.material_model import Material, print_of
from reference_server.services.fleet.model import FleetPrinter, Group, Organization
from reference_server.services.model import EndedReason, GCodeFile, Print, Printer
from reference_server.services.secrets import system_random
from reference_server.store.database import make_engine
from reference_server.store.fleet.job_tables import JobRow
from reference_server.store.fleet.material_tables import MaterialRow
from reference_server.store.fleet.print_tables import FleetPrintRow
from reference_server.store.fleet.tables import FleetGroupRow, FleetPrinterRow
from reference_server.store.tables import GCodeFileRow, PrinterRow, PrintRow

PASSWORD = "a password for figures"  # noqa: S105 - a throw-away server on this machine

GROUPS = ("north", "south", "east", "west")
TYPES = ("PLA", "PETG", "ABS", "ASA", "TPU")
COLORS = ("Black", "White", "Red", "Blue", "Grey")
MODELS = ("Prusa MK4", "Voron 2.4", "Ender 3", "Bambu X1")
AT_ONCE = 5_000
"""Rows a statement."""


@dataclass(frozen=True, slots=True)
class Size:
    printers: int = 200
    prints: int = 100_000
    jobs: int = 10_000


@dataclass(frozen=True, slots=True)
class Farm:
    """`key`: of the fleet API, for everything; `tokens`: of the printers' agents, by id; `printers`, `groups`: public
    ids; `since`: when the first print began."""

    key: str
    tokens: tuple[tuple[int, str], ...]
    printers: tuple[str, ...]
    groups: tuple[str, ...]
    since: datetime


def fill_farm(data_dir: Path, size: Size, seed: int = 1) -> Farm:
    """One organization; nothing prints and no agent is connected."""
    path, now, chance = data_dir / "server.sqlite3", utc_now(), random.Random(seed)
    database = open_database(path)
    user = make_accounts(database).create_user("owner", PASSWORD)
    keys = Keys(database, utc_now, system_random)
    caller = keys.identify_person(user)
    _, key = keys.create(caller, "bench", ["admin:*"])
    database.close()

    def public(prefix: str) -> str:
        return ids.new_id(prefix, chance.randbytes)

    groups = [
        Group(number, public(ids.GROUP), caller.organization.id, name, now, now)
        for number, name in enumerate(GROUPS, 1)
    ]
    born = now - timedelta(days=400)
    printers = [
        Printer(number, user.id, f"P{number:03}", chance.randbytes(10).hex(), born)
        for number in range(1, size.printers + 1)
    ]
    sides = [
        FleetPrinter(
            printer.id, public(ids.PRINTER), user.id, now, MODELS[printer.id % len(MODELS)], "hall 1",
            groups[printer.id % len(groups)].id, ("enclosed",) if printer.id % 3 else (),
        )
        for printer in printers
    ]  # fmt: skip
    spools = [_spool(caller.organization, printer.id, public, chance, now) for printer in printers]
    file = GCodeFile(1, user.id, None, "part.gcode", "part.gcode", "", None, 1_000_000, now, now, 5000.0, 7200.0)
    engine = make_engine(path)
    with Session(engine.execution_options(writes=True)) as session:
        _insert(session, FleetGroupRow, ({**_row(group), "name_key": group.name} for group in groups))
        _insert(session, PrinterRow, map(_row, printers))
        _insert(session, FleetPrinterRow, map(_row, sides))
        _insert(session, MaterialRow, map(_row, spools))
        _insert(session, GCodeFileRow, [_row(file)].__iter__())
        prints = _prints(printers, size.prints, chance, now, file.id)
        since = min((job.started_at for job in prints), default=now)
        _insert(session, PrintRow, map(_row, prints))
        by_printer = {spool.printer_id: spool for spool in spools}
        _insert(session, FleetPrintRow, (
            _row(print_of(job, job.ended_at, now, by_printer[job.printer_id])[1]) for job in prints if job.ended_at
        ))  # fmt: skip
        _insert(session, JobRow, map(_row, _jobs(caller.organization, user.id, size.jobs, public, chance, now)))
        session.commit()
    engine.dispose()
    return Farm(
        key, tuple((printer.id, printer.auth_token) for printer in printers),
        tuple(side.public_id for side in sides), tuple(group.public_id for group in groups), since,
    )  # fmt: skip


def _spool(
    organization: Organization, printer_id: int, public: Callable[[str], str], chance: random.Random, now: datetime
) -> Material:
    return Material(
        printer_id, public(ids.MATERIAL), organization.id, TYPES[printer_id % len(TYPES)], now, now, now,
        "Hatchbox", COLORS[printer_id // 5 % len(COLORS)], remaining_weight=chance.uniform(0, 1000), cost_per_kg=20.0,
        reorder_threshold=100.0, printer_id=printer_id, loaded_at=now,
    )  # fmt: skip


def _prints(
    printers: list[Printer], count: int, chance: random.Random, now: datetime, file_id: int
) -> list[Print]:
    """Back from now, one after the other on each printer, with pauses between; in the order in which they ended."""
    found = []
    free = {printer.id: now - timedelta(hours=chance.uniform(0, 3)) for printer in printers}
    for number in range(count):
        printer = printers[number % len(printers)]
        length = chance.uniform(600, 8 * 3600)
        ended = free[printer.id]
        started = ended - timedelta(seconds=length)
        free[printer.id] = started - timedelta(seconds=chance.uniform(60, 3 * 3600))
        luck = chance.random()
        reason = (
            EndedReason.DONE if luck < 0.94 else EndedReason.ERROR if luck < 0.97 else EndedReason.CANCELLED
        )
        done = reason is EndedReason.DONE
        found.append(
            Print(
                0, printer.user_id, printer.id, int(started.timestamp()), f"part-{number % 100}.gcode", started,
                file_id, ended if done else None, None if done else ended, reason,
                "Thermal runaway" if reason is EndedReason.ERROR else None,
                filament_used=chance.uniform(500, 20_000), print_time=length * chance.uniform(0.9, 1),
            )
        )  # fmt: skip
    found.sort(key=lambda job: job.ended_at or job.started_at)
    return [Print(**{**_row(job), "id": number}) for number, job in enumerate(found, 1)]


def _jobs(
    organization: Organization, user_id: int, count: int, public: Callable[[str], str], chance: random.Random,
    now: datetime,
) -> Iterator[Job]:  # fmt: skip
    for number in range(1, count + 1):
        at = now - timedelta(seconds=60 * (count - number))
        yield Job(
            number, public(ids.JOB), organization.id, f"job-{number}.gcode", chance.choice(list(Priority)),
            JobState.QUEUED, 1, 1, at, at, user_id, material=chance.choice([None, *TYPES]), tags=("production",),
            waiting=1, estimated_duration=7200.0, estimated_grams=45.2, estimated_filament=15_000.0,
        )  # fmt: skip


def _row(entity: Any) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__dataclass_fields__}


def _insert(session: Session, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    while some := list(islice(rows, AT_ONCE)):
        session.execute(insert(table), some)
