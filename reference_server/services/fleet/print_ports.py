"""What figures need of a store (services/fleet/analytics.py): sums that the database makes in one pass each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reference_server.services.fleet.print_model import FleetPrint


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose prints; `printer_ids` None: of all printers that the account ever had."""

    user_id: int
    printer_ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class EndSum:
    """Of the prints that ended in a bucket. `rate`: the sum of each one's seconds of printing a second between its
    start and end; `moment`: that of rate x (start - origin)."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unknown: int = 0
    seconds: float = 0.0
    grams: float = 0.0
    cost: float = 0.0
    longest: float = 0.0
    rate: float = 0.0
    moment: float = 0.0


@dataclass(frozen=True, slots=True)
class StartSum:
    """Of the prints that began in a bucket and have ended since; as EndSum."""

    rate: float = 0.0
    moment: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenPrint:
    """A print from `started` to `ended` (Unix s; None: it goes on); `seconds` of printing, if they are known."""

    printer_id: int
    started: float
    ended: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class MaterialSum:
    """What prints that ended in a period took; `material_id` None: no spool was in the printer."""

    material_id: int | None
    prints: int
    mm: float
    grams: float
    cost: float


@dataclass(frozen=True, slots=True)
class PrinterSpan:
    """A printer and since when, and until when (archived or deleted), it has been one; Unix s."""

    printer_id: int
    group_id: int | None
    since: float
    until: float | None


class FleetPrints(Protocol):
    """Every ended print has a row, written when it ends."""

    def get(self, print_id: int) -> FleetPrint | None: ...
    def put(self, row: FleetPrint) -> None: ...
    def remove(self, print_id: int) -> None: ...
    def price(self, material_id: int, cost_per_kg: float | None) -> None:
        """A spool's price is told later, or anew: it goes for all prints of it."""

    def ends(self, scope: Scope, edges: Sequence[float], origin: float | None) -> Sequence[EndSum]:
        """One for each bucket: [edges[0], edges[1]), …; without `origin`, or of one bucket, without `rate` and
        `moment`."""

    def starts(self, scope: Scope, edges: Sequence[float], origin: float) -> Sequence[StartSum]: ...
    def open_at(self, scope: Scope, at: float) -> Sequence[OpenPrint]:
        """Ended prints that had begun before and had not ended then (started < at <= ended)."""

    def active_printers(self, scope: Scope, since: float, until: float) -> frozenset[int]:
        """Those with an ended print that touches the time."""

    def going_on(self, scope: Scope) -> Sequence[OpenPrint]:
        """The prints under way. `ended`: of one that is over but not yet closed, and where its printer was archived
        meanwhile: nobody watches it any more."""

    def materials(self, scope: Scope, since: float, until: float) -> Sequence[MaterialSum]: ...
    def failures(self, scope: Scope, since: float, until: float, limit: int) -> Sequence[tuple[str, int]]:
        """Words of failed prints and how often, the most frequent first."""

    def printers(self, user_id: int) -> Sequence[PrinterSpan]:
        """All that the account ever had."""


