"""The farm's side of printers: groups, tags, models, beds (fleet-api.md §2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, NotFound
from reference_server.services.fleet.errors import PrinterBusy
from reference_server.services.fleet.group_choice import group_for, group_named_or_invalid
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import FleetPrinter, Group
from reference_server.services.fleet.once import Once
from reference_server.services.fleet.plan import Plan, Quota
from reference_server.services.fleet.printer_fields import checked
from reference_server.services.model import Json, Printer, PrinterRecord
from reference_server.services.ports import Store, Transaction
from reference_server.services.printers import PRINTERS_PER_USER, new_token
from reference_server.services.secrets import RandomBytes


class PrinterJobs(Protocol):
    """What the jobs wing tells of printers."""

    def on_printers(self, tx: Transaction, organization_id: int) -> Mapping[int, str]:
        """Printer id -> public id of the job whose copy is on it: on its way, or printing."""


class PrinterMaterials(Protocol):
    """What the materials wing tells of printers."""

    def in_printers(self, tx: Transaction, organization_id: int) -> Mapping[int, Sequence[Json]]:
        """Printer id -> the materials loaded, by tool, as plain values: `id`, `type`, `color`,
        `remaining_weight` and so on."""


class NoJobs:
    def on_printers(self, tx: Transaction, organization_id: int) -> Mapping[int, str]:  # noqa: ARG002 - nothing to ask
        return {}


class NoMaterials:
    def in_printers(self, tx: Transaction, organization_id: int) -> Mapping[int, Sequence[Json]]:  # noqa: ARG002
        return {}


@dataclass(frozen=True, slots=True)
class PrinterEntry:
    """A printer with all that the farm's database knows of it. `job`: public id."""

    record: PrinterRecord
    fleet: FleetPrinter
    group: Group | None = None
    job: str | None = None
    materials: Sequence[Json] = ()


def fleet_printer_named(tx: Transaction, caller: Identity, public_id: str) -> tuple[Printer, FleetPrinter]:
    """Raises NotFound: unknown, archived, deleted, or another organization's."""
    found = tx.fleet.printers.by_public_id(public_id)
    printer = tx.printers.get(found.printer_id) if found is not None else None
    if found is None or printer is None or printer.user_id != caller.account.id or printer.archived_at is not None:
        raise NotFound("There is no such printer.")
    return printer, found


class FleetPrinterBook:
    def __init__(
        self, store: Store, now: Now, random: RandomBytes, jobs: PrinterJobs | None = None,
        materials: PrinterMaterials | None = None,
    ) -> None:  # fmt: skip
        self._store, self._now, self._random = store, now, random
        self._jobs, self._materials = jobs or NoJobs(), materials or NoMaterials()

    def of_account(self, caller: Identity) -> Sequence[FleetPrinter]:
        """Neither archived nor deleted."""
        with self._store.read() as tx:
            return tx.fleet.printers.of_account(caller.account.id)

    def entries(self, caller: Identity, known: Mapping[int, PrinterRecord]) -> Sequence[PrinterEntry]:
        """All printers, by id. `known`: records that the server holds in memory; only the others are read."""
        with self._store.read() as tx:
            rows = tx.fleet.printers.of_account(caller.account.id)
            missing = {row.printer_id for row in rows if row.printer_id not in known}
            read = {}
            if missing:
                printers = [entry for entry in tx.printers.of_user(caller.account.id) if entry.id in missing]
                read = {record.printer.id: record for record in tx.printers.records(printers)}
            groups = {group.id: group for group in tx.fleet.groups.all(caller.organization.id)}
            jobs = self._jobs.on_printers(tx, caller.organization.id)
            materials = self._materials.in_printers(tx, caller.organization.id)
        return [
            PrinterEntry(
                read[row.printer_id] if row.printer_id in read else known[row.printer_id], row,
                groups.get(row.group_id) if row.group_id is not None else None, jobs.get(row.printer_id),
                materials.get(row.printer_id, ()),
            )
            for row in rows
        ]  # fmt: skip

    def entry(self, caller: Identity, public_id: str) -> PrinterEntry:
        """Raises NotFound."""
        with self._store.read() as tx:
            return self._entry(tx, caller, *fleet_printer_named(tx, caller, public_id))

    def _entry(self, tx: Transaction, caller: Identity, printer: Printer, fleet: FleetPrinter) -> PrinterEntry:
        group = next(
            (group for group in tx.fleet.groups.all(caller.organization.id) if group.id == fleet.group_id), None
        )
        return PrinterEntry(
            tx.printers.record(printer), fleet, group,
            self._jobs.on_printers(tx, caller.organization.id).get(printer.id),
            self._materials.in_printers(tx, caller.organization.id).get(printer.id, ()),
        )  # fmt: skip

    def group_of_filter(self, caller: Identity, text: str) -> Group:
        """By id or name. Raises Invalid."""
        with self._store.read() as tx:
            return group_named_or_invalid(tx, caller, text)

    def create(self, caller: Identity, name: str, more: Json, once: Once, plan: Plan) -> tuple[PrinterEntry, bool]:
        """A printer that no agent speaks for yet; False: it is what the same request made before. `more`: model,
        location, group, tags, auto_continue. Raises Invalid, QuotaExceeded, Conflict."""
        fields = checked({**more, "name": name})
        with self._store.write() as tx:
            if once.made is not None:
                return self._entry(tx, caller, *fleet_printer_named(tx, caller, once.made)), False
            used = len(tx.fleet.printers.of_account(caller.account.id))
            plan.check(Quota.PRINTERS, used)
            if used >= PRINTERS_PER_USER:
                raise Conflict(f"There are {PRINTERS_PER_USER} printers already.")
            now = self._now()
            printer = tx.printers.add(
                Printer(0, caller.account.id, fields["name"], new_token(self._random), created_at=now)
            )
            fleet = tx.fleet.printers.get(printer.id)
            if fleet is None:
                raise NotFound
            group = group_for(tx, caller, fields.get("group"), now, self._random)
            plain = {name: fields[name] for name in ("model", "location", "tags", "auto_continue") if name in fields}
            fleet = replace(fleet, group_id=group.id if group is not None else None, updated_at=now, **plain)
            tx.fleet.printers.save(fleet)
            once.note(tx, fleet.public_id, now)
            return self._entry(tx, caller, printer, fleet), True

    def change(self, caller: Identity, public_id: str, changes: Json) -> PrinterEntry:
        """`changes`: of name, model, location, group, tags, auto_continue. Raises NotFound, Invalid."""
        changes = checked(changes)
        with self._store.write() as tx:
            printer, fleet = fleet_printer_named(tx, caller, public_id)
            if "name" in changes:
                printer = replace(printer, name=changes["name"])
                tx.printers.save(printer)
            plain: dict[str, Any] = {
                name: changes[name] for name in ("model", "location", "tags", "auto_continue") if name in changes
            }
            if "group" in changes:
                group = group_for(tx, caller, changes["group"], self._now(), self._random)
                plain["group_id"] = group.id if group is not None else None
            fleet = replace(fleet, **plain, updated_at=self._now())
            tx.fleet.printers.save(fleet)
            return self._entry(tx, caller, printer, fleet)

    def clear_bed(self, caller: Identity, public_id: str) -> PrinterEntry:
        """Somebody says that the bed is empty. Raises NotFound; PrinterBusy: a print is under way, or was when its
        agent was last heard of."""
        with self._store.write() as tx:
            printer, fleet = fleet_printer_named(tx, caller, public_id)
            job = tx.printers.record(printer).current_print
            if job is not None and not job.ended:
                raise PrinterBusy("A print is under way on this printer: its bed is not clear.")
            fleet = replace(fleet, bed_clear=True, updated_at=self._now())
            tx.fleet.printers.save(fleet)
            return self._entry(tx, caller, printer, fleet)
