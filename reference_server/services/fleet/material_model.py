"""Spools of filament, what prints took off them, and what is told of them (fleet-api.md §4). Pure.

Weights in g, lengths and diameters in mm, densities in g/cm³, `cost_per_kg` in the organization's currency.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from reference_server.services.fleet.filament import (
    ASSUMED_DENSITY,
    DEFAULT_DIAMETER,
    density_of_type,
    grams,
)
from reference_server.services.fleet.print_model import FleetPrint, outcome_of, seconds_of
from reference_server.services.model import Print

CLOCKS_DIFFER = timedelta(minutes=5)
"""A print's end is told by the agent's clock, a spool's weighing by the server's: so much may be between them."""


class MaterialStatus(str, Enum):
    ACTIVE = "active"
    LOW = "low"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Material:
    """`printer_id`: loaded there, in `tool`, since `loaded_at`. `weighed_at`: when a person last said how much is left.
    `low_told`, `empty_told`: the event was raised and nobody has refilled since."""

    id: int
    public_id: str
    organization_id: int
    type: str
    created_at: datetime
    updated_at: datetime
    weighed_at: datetime
    brand: str | None = None
    color: str | None = None
    diameter: float = DEFAULT_DIAMETER
    density: float | None = None
    spool_weight: float = 1000.0
    remaining_weight: float = 1000.0
    cost_per_kg: float | None = None
    reorder_threshold: float | None = None
    printer_id: int | None = None
    tool: int = 0
    loaded_at: datetime | None = None
    low_told: bool = False
    empty_told: bool = False
    archived_at: datetime | None = None

    @property
    def status(self) -> MaterialStatus:
        if self.remaining_weight <= 0:
            return MaterialStatus.EMPTY
        if self.reorder_threshold is not None and self.remaining_weight <= self.reorder_threshold:
            return MaterialStatus.LOW
        return MaterialStatus.ACTIVE

    @property
    def effective_density(self) -> float:
        return self.density or density_of_type(self.type) or ASSUMED_DENSITY

    @property
    def density_source(self) -> str:
        """`given`, `type` (the table's) or `assumed`: the type is unknown."""
        if self.density:
            return "given"
        return "type" if density_of_type(self.type) else "assumed"


@dataclass(frozen=True, slots=True)
class LoadedMaterial:
    """A spool in a printer; `remaining` g."""

    material_id: str
    tool: int
    type: str
    brand: str | None
    color: str | None
    remaining: float
    status: MaterialStatus


def is_in(material: Material, ended_at: datetime) -> bool:
    """Whether the spool was in the printer when a print ended that is only told of now."""
    return material.loaded_at is not None and ended_at >= material.loaded_at - CLOCKS_DIFFER


def print_of(
    job: Print, ended_at: datetime, now: datetime, material: Material | None, before: FleetPrint | None = None
) -> tuple[Material | None, FleetPrint]:
    """The spool and the farm's side of a print after it has ended, or after its end is known better (`before` is what
    was thought then: that is put back first, so a correction counts once). A spool that a person has weighed since is
    left as it is: that weighing has this print in it."""
    mm = job.filament_used
    length = mm if mm is not None and mm > 0 else 0.0
    density, diameter = ASSUMED_DENSITY, DEFAULT_DIAMETER
    cost_per_kg: float | None = None
    if material is not None:
        density, diameter, cost_per_kg = material.effective_density, material.diameter, material.cost_per_kg
    used = grams(length, density, diameter)
    taken = before.taken if before is not None else 0.0
    if material is not None and not _weighed_since(material, ended_at, before):
        full = material.remaining_weight + taken
        taken = min(used, full)
        material = replace(material, remaining_weight=round(full - taken, 3))  # mg: no crumbs
    return material, FleetPrint(
        job.id, job.user_id, job.printer_id, job.started_at.timestamp(), ended_at.timestamp(),
        seconds_of(job, ended_at), outcome_of(job), now, mm, used, used * (cost_per_kg or 0.0) / 1000, taken,
        material.id if material is not None else None,
    )  # fmt: skip


def put_back(material: Material, before: FleetPrint) -> Material:
    """The print goes on after all: what was taken for it is given back."""
    if _weighed_since(material, material.weighed_at, before):
        return material
    return replace(material, remaining_weight=round(material.remaining_weight + before.taken, 3))


def _weighed_since(material: Material, ended_at: datetime, before: FleetPrint | None) -> bool:
    if before is not None:
        return material.weighed_at > before.noted_at
    return ended_at < material.weighed_at - CLOCKS_DIFFER


def told(material: Material) -> tuple[Material, tuple[str, ...]]:
    """What is to be told of the spool as it is now, once each until it is refilled."""
    names: list[str] = []
    status = material.status
    low = status is MaterialStatus.LOW or (status is MaterialStatus.EMPTY and material.reorder_threshold is not None)
    if low and not material.low_told:
        names.append("material.low")
        material = replace(material, low_told=True)
    if status is MaterialStatus.EMPTY and not material.empty_told:
        names.append("material.empty")
        material = replace(material, empty_told=True)
    return material, tuple(names)


def refilled(material: Material) -> Material:
    """After a person's change: what is no longer so may be told again."""
    status = material.status
    return replace(
        material, low_told=material.low_told and status is not MaterialStatus.ACTIVE,
        empty_told=material.empty_told and status is MaterialStatus.EMPTY,
    )  # fmt: skip
