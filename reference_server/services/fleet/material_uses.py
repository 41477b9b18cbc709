"""Takes what a print used off the spool in its printer, in the transaction that ends the print: once, whatever is
killed when. A print's end that is known better later is put right by the difference (fleet-api.md §4)."""

from __future__ import annotations

from dataclasses import replace

from reference_server.services.clock import Now
from reference_server.services.fleet.material_model import Material, MaterialUse, is_in, use_of
from reference_server.services.fleet.materials import tell
from reference_server.services.followers import PrintChange
from reference_server.services.model import EventKind, Print
from reference_server.services.ports import Transaction


class MaterialFollower:
    """services.followers.Follower."""

    def __init__(self, now: Now) -> None:
        self._now = now

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        ended = {event.print_id for event in change.events if event.event_type is EventKind.ENDED}
        prints = {job.id: job for job in change.prints if job.id in ended}
        if change.corrected is not None:
            prints[change.corrected.id] = change.corrected
        for job in prints.values():
            self._take(tx, job)

    def _take(self, tx: Transaction, job: Print) -> None:
        ended_at = job.ended_at
        if ended_at is None:
            return
        use = tx.fleet.materials.use(job.id)
        material = self._material(tx, job, use)
        if material is None:
            return
        before, now = material, self._now()
        material, use = use_of(material, use, job.id, job.user_id, job.filament_used, ended_at, now)
        if material.remaining_weight < before.remaining_weight:
            material = tell(tx, material, now)
        if material != before:
            tx.fleet.materials.save(replace(material, updated_at=now))
        tx.fleet.materials.put_use(use)

    @staticmethod
    def _material(tx: Transaction, job: Print, use: MaterialUse | None) -> Material | None:
        """The spool that the print was counted on, else the one that is in its printer: with several tools that of the
        first, since hosts tell the filament of all tools as one figure."""
        if use is not None:
            return tx.fleet.materials.by_id(use.material_id)
        loaded = tx.fleet.materials.in_printer(job.printer_id)
        if not loaded or job.ended_at is None or not is_in(loaded[0], job.ended_at):
            return None
        return loaded[0]
