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
    """

    printer: Printer
    prints: tuple[Print, ...]
    events: tuple[PrinterEvent, ...]
    corrected: Print | None = None
    notify: bool = True


class Follower(Protocol):
    def follow(self, tx: Transaction, change: PrintChange) -> None:
        """Called before the commit; what it raises undoes everything."""
