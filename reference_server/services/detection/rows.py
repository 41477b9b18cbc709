"""What detection needs of the store (see services/ports.py); `store/detection_repositories.py` implements it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from reference_server.services.detection.model import Decision, Prediction, PrinterState, PrintState, Shot


class DetectionRows(Protocol):
    def printer(self, printer_id: int) -> PrinterState:
        """A fresh one if nothing is known yet."""

    def save_printer(self, state: PrinterState) -> None: ...
    def print(self, print_id: int, printer_id: int) -> PrintState:
        """A fresh one if nothing is known yet."""

    def save_print(self, state: PrintState) -> None: ...
    def unfinished(self, limit: int) -> Sequence[PrintState]:
        """Those whose print is over or deleted and whose work is not done."""

    def remove_print(self, print_id: int) -> None:
        """Everything of a print."""

    def resumed_at(self, print_id: int) -> datetime | None:
        """Its last RESUMED event."""

    def add_prediction(self, prediction: Prediction) -> None:
        """A week of them is kept at one each 10 s; then the oldest go."""

    def predictions(self, print_id: int, last: int | None = None) -> Sequence[Prediction]:
        """Oldest first; `last`: only so many."""

    def pack(self, print_id: int, packed: bytes) -> None:
        """The print is over: its predictions are kept in this form from now on."""

    def packed(self, print_id: int) -> bytes | None: ...

    def add_decision(self, decision: Decision) -> Decision:
        """The last 500 of a print are kept."""

    def save_decision(self, decision: Decision) -> None: ...
    def decisions(self, print_id: int) -> Sequence[Decision]:
        """Newest first."""

    def last_decision(self, print_id: int) -> Decision | None: ...
    def unsent(self, print_id: int) -> Decision | None:
        """The newest whose command is still to be sent."""

    def add_shot(self, shot: Shot) -> None: ...
    def shot(self, shot_id: int) -> Shot | None: ...
    def save_shot(self, shot: Shot) -> None: ...
    def candidates(self, print_id: int) -> Sequence[Shot]:
        """All shots of a print, chosen or not, highest `p` first."""

    def remove_shots(self, shot_ids: Iterable[int]) -> None: ...
    def chosen(self, print_ids: Sequence[int]) -> Mapping[int, Sequence[Shot]]:
        """Shots that the user is asked about, oldest first, by print."""
