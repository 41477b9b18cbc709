"""A data folder with a farm's year in it: printers, prints, jobs that are over and jobs that wait, spools, web hooks.
Written straight into the tables, before the server starts. The same `seed` makes the same farm."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from bench.load.data import PASSWORD, SETTINGS
from reference_server.app import make_accounts, open_database
from reference_server.services.agent_settings import merged
from reference_server.services.audit import AuditEntry
from reference_server.services.clock import utc_now
from reference_server.services.deliveries import DeliveryState
from reference_server.services.fleet import ids
from reference_server.services.fleet.hooks.model import EVENTS, HookDelivery, HookTry, Webhook
from reference_server.services.fleet.jobs.model import Attempt, AttemptState, Job, JobState, Priority
from reference_server.services.fleet.keys import Identity, Keys
from reference_server.services.fleet.material_model import Material, print_of
from reference_server.services.fleet.model import FleetEvent, FleetPrinter, Group
from reference_server.services.model import EndedReason, GCodeFile, Print, Printer
from reference_server.services.secrets import system_random
from reference_server.store.database import make_engine
from reference_server.store.fleet.job_tables import AttemptRow, JobRow
from reference_server.store.fleet.material_tables import MaterialRow
from reference_server.store.fleet.print_tables import FleetPrintRow
from reference_server.store.fleet.tables import FleetEventRow, FleetGroupRow, FleetPrinterRow
from reference_server.store.fleet.webhook_tables import HookCursorRow, HookDeliveryRow, HookTryRow, WebhookRow
from reference_server.store.security_tables import AuditRow
from reference_server.store.tables import GCodeFileRow, PrinterRow, PrintRow

YEAR = timedelta(days=365)
MODELS = ("Prusa i3 MK3S+", "Prusa MK4", "Bambu P1S", "Voron 2.4", "Ender 3")
TAGS = ("enclosed", "multi-material", "large", "abs", "front row")
TYPES = ("PLA", "PETG", "ABS", "TPU")
COLORS = ("Black", "White", "Orange", "Grey")
HOW = (*(EndedReason.DONE,) * 94, *(EndedReason.ERROR,) * 3, *(EndedReason.CANCELLED,) * 2, EndedReason.LOST)
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """`jobs`: of the past, each of one print. `printing`: printers with a job under way."""

    printers: int = 200
    prints: int = 100_000
    jobs: int = 50_000
    queued: int = 10_000
    files: int = 2_000
    groups: int = 20
    materials: int = 400
    webhooks: int = 4
    events: int = 20_000
    audit: int = 5_000


SMALL = Sizes(6, 120, 60, 40, 10, 3, 12, 2, 40, 30)


@dataclass(frozen=True, slots=True)
class Farm:
    """`tokens`: printers' ids and agents' tokens; each of them prints. `key`: the owner's key of `/v1`."""

    tokens: tuple[tuple[int, str], ...]
    key: str
    ids: dict[str, str]
    """A public id of each kind, by the name of a path's parameter."""
    group: str
    since: datetime
    organization_id: int
    account_id: int


def _row(entity: Any) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__dataclass_fields__}


def _insert(session: Session, table: Any, entities: Iterator[Any] | Sequence[Any], **more: Any) -> None:
    source = iter(entities)
    while part := [_row(entity) | more for entity in islice(source, CHUNK)]:
        session.execute(insert(table), part)


def fill_farm(data_dir: Path, sizes: Sizes, seed: int = 1) -> Farm:
    path, now = data_dir / "server.sqlite3", utc_now()
    database = open_database(path)
    user = make_accounts(database).create_user("owner", PASSWORD)
    keys = Keys(database, utc_now, system_random)
    caller = keys.identify_person(user)
    key, *_ = [keys.create(caller, f"program {number}", ("admin:*",))[1] for number in range(30)]
    database.close()
    made = _Maker(sizes, random.Random(seed), caller, now)
    engine = make_engine(path)
    with Session(engine.execution_options(writes=True)) as session:
        made.write(session)
        session.commit()
    engine.dispose()
    open_database(path).close()  # what belongs to rows that came another way is made here, not while figures are taken
    kinds = {"printer": ids.PRINTER, "job": ids.JOB, "webhook": ids.WEBHOOK, "material": ids.MATERIAL,
             "group": ids.GROUP}  # fmt: skip
    found = {f"{name}_id": made.id(prefix, 1) for name, prefix in kinds.items()}
    return Farm(made.tokens, key, found, made.id(ids.GROUP, 1), now - YEAR, caller.organization.id, user.id)


class _Maker:
    def __init__(self, sizes: Sizes, chance: random.Random, caller: Identity, now: datetime) -> None:
        self._sizes, self._chance, self._now = sizes, chance, now
        self._user, self._organization = caller.account.id, caller.organization.id
        self._begin = now - YEAR
        self._ids: dict[tuple[str, int], str] = {}
        self.tokens = tuple((number, f"{chance.getrandbits(80):020x}") for number in range(1, sizes.printers + 1))

    def id(self, prefix: str, number: int) -> str:
        """Each object has one."""
        if (prefix, number) not in self._ids:
            self._ids[prefix, number] = ids.new_id(prefix, self._chance.randbytes)
        return self._ids[prefix, number]

    def write(self, session: Session) -> None:
        _insert(session, GCodeFileRow, self._files())
        for group in self._groups():
            session.execute(insert(FleetGroupRow), [_row(group) | {"name_key": group.name.casefold()}])
        _insert(session, PrinterRow, self._printers())
        _insert(session, FleetPrinterRow, self._fleet_printers())
        materials = list(self._materials())
        _insert(session, MaterialRow, materials)
        spools = {material.printer_id: material for material in materials}
        prints = list(self._prints())
        _insert(session, PrintRow, prints)
        _insert(session, FleetPrintRow, (
            print_of(job, job.ended_at, self._now, spools[job.printer_id])[1] for job in prints if job.ended_at
        ))  # fmt: skip
        _insert(session, JobRow, self._jobs())
        _insert(session, AttemptRow, self._attempts())
        _insert(session, WebhookRow, self._webhooks())
        _insert(session, FleetEventRow, self._events())
        session.execute(insert(HookCursorRow), [{"id": 1, "event_id": self._sizes.events}])
        _insert(session, HookDeliveryRow, self._deliveries())
        _insert(session, HookTryRow, self._tries())
        _insert(session, AuditRow, self._audit())

    # --- the year ------------------------------------------------------------------------------------------------

    def _at(self, part: float) -> datetime:
        return self._begin + part * YEAR

    def _files(self) -> Iterator[GCodeFile]:
        for number in range(1, self._sizes.files + 1):
            name, at = f"part-{number:04}.gcode", self._at(number / (self._sizes.files + 1))
            yield GCodeFile(
                number, self._user, None, name, name, f"sha256:{number}", None, 1_000_000, at, at,
                media_path=f"files/{number}.gcode", sha256=f"{number:064x}",
            )  # fmt: skip

    def _groups(self) -> Iterator[Group]:
        for number in range(1, self._sizes.groups + 1):
            name, at = f"Row {number}", self._begin
            yield Group(number, self.id(ids.GROUP, number), self._organization, name, at, at)

    def _printers(self) -> Iterator[Printer]:
        for number, token in self.tokens:
            at = self._begin + timedelta(minutes=number)
            running = self._sizes.prints + number
            yield merged(Printer(number, self._user, f"P{number:03}", token, at, current_print_id=running), SETTINGS)

    def _fleet_printers(self) -> Iterator[FleetPrinter]:
        for number, _ in self.tokens:
            yield FleetPrinter(
                number, self.id(ids.PRINTER, number), self._user, self._begin, MODELS[number % len(MODELS)],
                f"shelf {number % 10}", 1 + number % self._sizes.groups, tuple(self._chance.sample(TAGS, 2)),
            )  # fmt: skip

    def _materials(self) -> Iterator[Material]:
        for number in range(1, self._sizes.materials + 1):
            at = self._at(number / (self._sizes.materials + 1))
            loaded = number <= self._sizes.printers
            yield Material(
                number, self.id(ids.MATERIAL, number), self._organization, TYPES[number % 4], at, at, self._now,
                "Brand", COLORS[number // 4 % 4], remaining_weight=900.0, cost_per_kg=20.0, reorder_threshold=100.0,
                printer_id=number if loaded else None, loaded_at=at if loaded else None,
            )  # fmt: skip

    def _prints(self) -> Iterator[Print]:
        """Each printer's one after the other over the year; and one more, which is under way."""
        printers, each = self._sizes.printers, max(1, self._sizes.prints // self._sizes.printers)
        for number in range(1, self._sizes.prints + 1):
            printer, turn = 1 + (number - 1) % printers, (number - 1) // printers
            start = self._at(turn / (each + 1)) + timedelta(seconds=printer)
            seconds = self._chance.uniform(0.1, 0.85) * YEAR.total_seconds() / (each + 1)
            how, end = self._chance.choice(HOW), start + timedelta(seconds=seconds)
            good = how is EndedReason.DONE
            yield Print(
                number, self._user, printer, turn + 1, f"part-{1 + number % self._sizes.files:04}.gcode", start,
                1 + number % self._sizes.files, end if good else None, None if good else end, how,
                filament_used=round(self._chance.uniform(500, 60_000), 1), print_time=round(seconds, 1),
            )  # fmt: skip
        for printer, _ in self.tokens:
            started = self._now - timedelta(minutes=printer % 60 + 1)
            number = self._sizes.prints + printer
            yield Print(number, self._user, printer, each + 100, "part-0001.gcode", started, 1)

    # --- jobs ----------------------------------------------------------------------------------------------------

    def _jobs(self) -> Iterator[Job]:
        total, over = self._sizes.jobs + self._sizes.queued, self._sizes.jobs
        for number in range(1, total + 1):
            waits = number > over
            age = timedelta(seconds=20 * (total - number) + 60)
            at = self._now - age if waits else self._at(number / (over + 1))
            wish = self._chance.random()
            failed = not waits and number % 25 == 0
            yield Job(
                number, self.id(ids.JOB, number), self._organization, f"order {number}",
                self._chance.choice((Priority.URGENT, Priority.HIGH, *(Priority.NORMAL,) * 6, *(Priority.LOW,) * 2)),
                JobState.QUEUED if waits else JobState.FAILED if failed else JobState.COMPLETED,
                1 + number % self._sizes.files, 1, at, at, self._user,
                model=MODELS[number % len(MODELS)] if wish < 0.3 else None,
                group_id=1 + number % self._sizes.groups if 0.3 < wish < 0.4 else None,
                material=TYPES[number % 4] if wish < 0.7 else None, color=COLORS[number % 4] if wish < 0.2 else None,
                tags=(f"order-{number}",), printer_tags=(TAGS[number % 5],) if wish > 0.8 else (),
                wanted_printer_id=1 + number % self._sizes.printers if 0.4 < wish < 0.45 else None,
                waiting=int(waits), completed=int(not waits and not failed), failed=int(failed),
                printer_id=None if waits else 1 + (number - 1) % self._sizes.printers,
                elapsed=0.0 if waits else 3600.0, estimated_duration=7200.0, estimated_grams=45.2,
                started_at=None if waits else at, completed_at=None if waits else at + timedelta(hours=1),
            )  # fmt: skip

    def _attempts(self) -> Iterator[Attempt]:
        for number in range(1, self._sizes.jobs + 1):
            at = self._at(number / (self._sizes.jobs + 1))
            failed = number % 25 == 0
            yield Attempt(
                number, self.id(ids.ATTEMPT, number), number, self._organization, 1, 1,
                1 + (number - 1) % self._sizes.printers, AttemptState.FAILED if failed else AttemptState.COMPLETED, at,
                at, offered_at=at, permitted_at=at, agent_clock=at.timestamp(), print_id=number, started_at=at,
                ended_at=at + timedelta(hours=1), elapsed=3600.0,
            )  # fmt: skip

    # --- web hooks and the audit log -----------------------------------------------------------------------------

    def _webhooks(self) -> Iterator[Webhook]:
        """Of what printers do they hear nothing: the agents of the measurement come all at once, and a storm of
        deliveries to nowhere would be measured with the lists."""
        for number in range(1, self._sizes.webhooks + 1):
            yield Webhook(
                number, self.id(ids.WEBHOOK, number), self._organization, f"https://hooks.example/{number}",
                ("job.*", "material.*"), "s" * 32, True, self._begin, self._begin, 0,
            )  # fmt: skip

    def _told_at(self, number: int) -> datetime:
        return self._now - timedelta(days=29) * (1 - number / (self._sizes.events + 1))

    def _events(self) -> Iterator[FleetEvent]:
        for number in range(1, self._sizes.events + 1):
            yield FleetEvent(
                number, self.id(ids.EVENT, number), self._organization, EVENTS[number % len(EVENTS)],
                self.id(ids.JOB, 1 + number % 1000), self._told_at(number), {"job": {"name": f"order {number}"}},
            )  # fmt: skip

    def _deliveries(self) -> Iterator[HookDelivery]:
        for number in range(1, self._sizes.events + 1):
            at = self._told_at(number)
            yield HookDelivery(
                number, self.id(ids.DELIVERY, number), 1 + number % self._sizes.webhooks, number,
                self.id(ids.JOB, 1 + number % 1000), DeliveryState.DELIVERED, at, at, at, 1, at,
            )  # fmt: skip

    def _tries(self) -> Iterator[HookTry]:
        for number in range(1, self._sizes.events + 1):
            yield HookTry(number, number, self._told_at(number), True, 204, "it answered 204", "", 0.05)

    def _audit(self) -> Iterator[AuditEntry]:
        for number in range(1, self._sizes.audit + 1):
            yield AuditEntry(
                number, self._told_at(number), self._user, "owner", "key bench", "127.0.0.1", "v1.jobs.create",
                self.id(ids.JOB, number), True, self._user,
            )  # fmt: skip
