"""Writes the farm's side of a print in the transaction that ends it, and takes what it used off the spool in its
printer: once, whatever is killed when. An end that is known better later is put right by the difference
(fleet-api.md §4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reference_server.services.clock import Now
from reference_server.services.fleet.material_model import Material, is_in, print_of, put_back
from reference_server.services.fleet.materials import tell
from reference_server.services.followers import PrintChange
from reference_server.services.model import EventKind, Print
from reference_server.services.ports import Transaction


class PrintFollower:
    """services.followers.Follower."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        ended = {event.print_id for event in change.events if event.event_type is EventKind.ENDED}
        if change.corrected is not None:
            ended.add(change.corrected.id)
        prints = {job.id: job for job in change.prints}
        if change.corrected is not None:
            prints[change.corrected.id] = change.corrected
        for job in prints.values():
            if job.ended_at is None:
                self._goes_on(tx, job)
            elif job.id in ended:
                self._ended(tx, job, job.ended_at)

    def _ended(self, tx: Transaction, job: Print, ended_at: datetime) -> None:
        now, before = self._now(), tx.fleet.prints.get(job.id)
        if before is None:
            material = self._spool(tx, job, ended_at)
        else:
            material = tx.fleet.materials.by_id(before.material_id) if before.material_id is not None else None
        after, row = print_of(job, ended_at, now, material, before)
        if material is not None and after is not None:
            if after.remaining_weight < material.remaining_weight:
                after = tell(tx, after, now)
            if after != material:
                tx.fleet.materials.save(replace(after, updated_at=now))
        tx.fleet.prints.put(row)

    def _goes_on(self, tx: Transaction, job: Print) -> None:
        """It was given up too early (print tracking), and will end another time."""
        before = tx.fleet.prints.get(job.id)
        if before is None:
            return
        tx.fleet.prints.remove(job.id)
        material = tx.fleet.materials.by_id(before.material_id) if before.material_id is not None else None
        if material is not None and before.taken:
            tx.fleet.materials.save(replace(put_back(material, before), updated_at=self._now()))

    @staticmethod
    def _spool(tx: Transaction, job: Print, ended_at: datetime) -> Material | None:
        """The one that is in its printer: with several tools that of the first, since hosts tell the filament of all
        tools as one figure."""
        loaded = tx.fleet.materials.in_printer(job.printer_id)
        return loaded[0] if loaded and is_in(loaded[0], ended_at) else None
