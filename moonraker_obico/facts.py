"""What is known of the file at hand, gathered from metadata, history and configuration as they come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from moonraker_obico.history import HistoryJob
from moonraker_obico.klippy import Want
from moonraker_obico.report import DEFAULT_DIAMETER, FileFacts


class FactsKeeper:
    def __init__(self) -> None:
        self.facts = FileFacts()
        self.asked_file = ""
        self._diameter: float | None = None

    def wants(self, filename: str) -> set[Want]:
        """What is still to be asked about the file; each file is asked about once."""
        if not filename or filename == self.asked_file:
            return set()
        self.asked_file = filename
        return {Want.METADATA} if self._diameter is not None else {Want.METADATA, Want.DIAMETER}

    def take_job(self, job: HistoryJob) -> None:
        self.take(job.filename, user=job.user)
        if job.metadata.get("size") is not None:
            self.take(job.filename, metadata=job.metadata)

    def take(self, filename: str, **known: Any) -> None:
        """Fields of FileFacts; those of another file than before begin anew."""
        facts = self.facts if self.facts.filename == filename else FileFacts(filename)
        self.facts = replace(facts, filament_diameter=self._diameter or DEFAULT_DIAMETER, **known)

    def take_diameter(self, millimetres: float | None) -> None:
        self._diameter = millimetres or DEFAULT_DIAMETER
        self.facts = replace(self.facts, filament_diameter=self._diameter)
