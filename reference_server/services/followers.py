"""Who wants to know, in the same transaction, that something happened to a print: notices, time-lapse, the farm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reference_server.services.model import Print, Printer, PrinterEvent
from reference_server.services.ports import Transaction


@dataclass(frozen=True, slots=True)
class PrintChange:
    """What one message did: the printer afterwards, the prints that were saved, the events that were written.

    `corrected`: a print whose end was a guess and is known now (its ENDED event was written anew, not added).
    `notify`: False: whoever reported it wants nobody to be told (wire-protocol.md §4, `notify`).
    `order`: the farm's, that a print which has just begun was started by, if its agent has told.
    """

    printer: Printer
    prints: tuple[Print, ...]
    events: tuple[PrinterEvent, ...]
    corrected: Print | None = None
    notify: bool = True
    order: str | None = None


class Follower(Protocol):
    def follow(self, tx: Transaction, change: PrintChange) -> None:
        """Called before the commit; what it raises undoes everything."""


class PrinterRemoval(Protocol):
    """Who wants to know, in the same transaction, that a printer was archived (or deleted without that), by
    whichever API. One that comes back is another matter: its agent links anew."""

    def printer_removed(self, tx: Transaction, printer: Printer) -> None:
        """`printer`: as it is now. Its agent is cut off after the commit; a print under way goes on unseen."""
