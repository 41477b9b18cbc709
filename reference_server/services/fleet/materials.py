"""Materials: people's side of them. What prints take off them is print_follower.py's (fleet-api.md §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, NotFound
from reference_server.services.fleet import ids
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.material_model import Material, MaterialStatus, refilled, told
from reference_server.services.fleet.once import Once
from reference_server.services.fleet.ports import MaterialFilter, Window
from reference_server.services.model import Json, Printer
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes
from reference_server.services.text import clean

MATERIALS_PER_ORGANIZATION = 10_000
TEXT_LIMIT = 100

_PLAIN = (
    "type", "brand", "color", "diameter", "density", "spool_weight", "remaining_weight", "cost_per_kg",
    "reorder_threshold",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """A material and the public id of the printer that it is in."""

    material: Material
    printer: str | None


def event_data(material: Material, printer: str | None) -> Json:
    """What an event tells of a material; under its kind, as events of printers and jobs do."""
    return {"material": {
        "id": material.public_id, "type": material.type, "brand": material.brand, "color": material.color,
        "remaining_weight": round(material.remaining_weight, 2), "spool_weight": material.spool_weight,
        "reorder_threshold": material.reorder_threshold, "printer_id": printer, "status": material.status.value,
    }}  # fmt: skip


def tell(tx: Transaction, material: Material, now: datetime) -> Material:
    """Raises the events that are due; the material that is to be stored."""
    material, names = told(material)
    if names:
        printer = tx.fleet.printers.get(material.printer_id) if material.printer_id is not None else None
        data = event_data(material, printer.public_id if printer else None)
        for name in names:
            tx.fleet.events.emit(material.organization_id, name, material.public_id, data, now)
    return material


class FleetMaterials:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def list(
        self, caller: Identity, window: Window, kind: str | None = None, status: MaterialStatus | None = None,
        printer: str | None = None, q: str | None = None,
    ) -> tuple[Sequence[Shown], int]:  # fmt: skip
        """`printer`: a public id. Raises Invalid: there is no such printer."""
        with self._store.read() as tx:
            printer_id = _printer_named(tx, caller, printer) if printer is not None else None
            wanted = MaterialFilter(caller.organization.id, kind, status, printer_id, q)
            found, total = tx.fleet.materials.list(wanted, window)
            return [_shown(tx, material) for material in found], total

    def get(self, caller: Identity, public_id: str) -> Shown:
        """Raises NotFound."""
        with self._store.read() as tx:
            return _shown(tx, _material_named(tx, caller, public_id))

    def create(self, caller: Identity, given: Mapping[str, Any], once: Once) -> Shown:
        """`given`: fields by the names of Material, `printer_id` a public id. Raises Invalid, Conflict."""
        with self._store.write() as tx:
            if once.made is not None:
                return _shown(tx, _material_named(tx, caller, once.made))
            if tx.fleet.materials.count(caller.organization.id) >= MATERIALS_PER_ORGANIZATION:
                raise Conflict(f"There are {MATERIALS_PER_ORGANIZATION} materials already.")
            now = self._now()
            start = Material(
                0, ids.new_id(ids.MATERIAL, self._random), caller.organization.id, "", now, now, weighed_at=now
            )
            start = replace(start, spool_weight=given.get("spool_weight") or start.spool_weight)
            start = replace(start, remaining_weight=start.spool_weight)
            made = self._changed(tx, caller, start, given, now)
            # How it comes is no crossing: its maker sees the status in the answer.
            made, _ = told(made)
            once.note(tx, made.public_id, now)
            return _shown(tx, tx.fleet.materials.add(made))

    def change(self, caller: Identity, public_id: str, given: Mapping[str, Any]) -> Shown:
        """Raises NotFound, Invalid."""
        with self._store.write() as tx:
            now = self._now()
            before = _material_named(tx, caller, public_id)
            material = refilled(self._changed(tx, caller, before, given, now))
            if material != before:
                material = tell(tx, replace(material, updated_at=now), now)
                tx.fleet.materials.save(material)
            if material.cost_per_kg != before.cost_per_kg:
                tx.fleet.prints.price(material.id, material.cost_per_kg)
            return _shown(tx, material)

    def archive(self, caller: Identity, public_id: str) -> None:
        """Out of its printer and out of the lists; what prints used of it stays. Raises NotFound."""
        with self._store.write() as tx:
            now = self._now()
            material = _material_named(tx, caller, public_id)
            tx.fleet.materials.save(
                replace(material, printer_id=None, loaded_at=None, archived_at=now, updated_at=now)
            )

    def _changed(
        self, tx: Transaction, caller: Identity, material: Material, given: Mapping[str, Any], now: datetime
    ) -> Material:
        values = {name: given[name] for name in _PLAIN if name in given}
        for name in ("type", "brand", "color"):
            if values.get(name) is not None:
                values[name] = clean(values[name], TEXT_LIMIT).strip() or None
        for name in ("type", "diameter", "spool_weight", "remaining_weight"):
            if name in values and values[name] is None:
                raise Invalid.field(name, "A value is needed.")
        if "remaining_weight" in values:
            values["weighed_at"] = now
        material = replace(material, **values)
        if not material.type:
            raise Invalid.field("type", "A type such as PLA is needed.")
        if material.remaining_weight > material.spool_weight:
            raise Invalid.field("remaining_weight", "No more can be left than a full spool holds (spool_weight).")
        return self._loaded(tx, caller, material, given, now)

    @staticmethod
    def _loaded(
        tx: Transaction, caller: Identity, material: Material, given: Mapping[str, Any], now: datetime
    ) -> Material:
        """Into a printer, out of it, into another tool. Whatever was there is taken out: one spool a tool."""
        tool = given.get("tool", material.tool)
        printer_id = material.printer_id
        if "printer_id" in given:
            public_id = given["printer_id"]
            printer_id = _printer_named(tx, caller, public_id) if public_id is not None else None
            if "tool" not in given:
                tool = material.tool if printer_id == material.printer_id else 0
        tool = 0 if tool is None or printer_id is None else tool
        if (printer_id, tool) == (material.printer_id, material.tool):
            return material
        if printer_id is not None:
            there = tx.fleet.materials.in_printer(printer_id)
            for other in there:
                if other.tool == tool and other.id != material.id:
                    tx.fleet.materials.save(replace(other, printer_id=None, tool=0, loaded_at=None, updated_at=now))
        loaded_at = material.loaded_at if printer_id == material.printer_id else now
        return replace(
            material, printer_id=printer_id, tool=tool, loaded_at=loaded_at if printer_id is not None else None
        )


class MaterialsInPrinters:
    """services.fleet.printers.PrinterMaterials."""

    def in_printers(self, tx: Transaction, organization_id: int) -> Mapping[int, Sequence[Json]]:
        organization = tx.fleet.organizations.get(organization_id)
        loaded = tx.fleet.materials.loaded(organization.user_id) if organization is not None else {}
        return {
            printer_id: [
                {
                    "id": each.material_id, "tool": each.tool, "type": each.type, "brand": each.brand,
                    "color": each.color, "remaining_weight": round(each.remaining, 2), "status": each.status.value,
                }
                for each in materials
            ]
            for printer_id, materials in loaded.items()
        }  # fmt: skip


class SpoolsOut:
    """services.followers.PrinterRemoval: a printer that is archived holds no spool any more."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def printer_removed(self, tx: Transaction, printer: Printer) -> None:
        for material in tx.fleet.materials.in_printer(printer.id):
            tx.fleet.materials.save(
                replace(material, printer_id=None, tool=0, loaded_at=None, updated_at=self._now())
            )


def _shown(tx: Transaction, material: Material) -> Shown:
    printer = tx.fleet.printers.get(material.printer_id) if material.printer_id is not None else None
    return Shown(material, printer.public_id if printer else None)


def _material_named(tx: Transaction, caller: Identity, public_id: str) -> Material:
    material = tx.fleet.materials.get(public_id)
    if material is None or material.organization_id != caller.organization.id or material.archived_at is not None:
        raise NotFound("There is no such material.")
    return material


def _printer_named(tx: Transaction, caller: Identity, public_id: str) -> int:
    found = tx.fleet.printers.by_public_id(public_id)
    printer = tx.printers.get(found.printer_id) if found is not None else None
    if printer is None or printer.user_id != caller.account.id or printer.archived_at is not None:
        raise Invalid.field("printer_id", "There is no such printer.")
    return printer.id
