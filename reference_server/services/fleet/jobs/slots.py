"""The printers of an organization, and its waiting jobs, as the planner sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from reference_server.services.fleet.jobs.model import Job
from reference_server.services.fleet.planner import LoadedMaterial, PrinterSlot, QueuedJob
from reference_server.services.fleet.printer_state import PrinterStatus, status_of
from reference_server.services.live import LivePrinter
from reference_server.services.ports import Transaction


class Readiness(NamedTuple):
    """What is true of a printer right now, from memory alone; `idle`: it would take a job."""

    online: bool = False
    idle: bool = False
    name: str = ""


OFFLINE = Readiness()


def readiness_of(live: LivePrinter) -> Readiness:
    status = status_of(live)
    return Readiness(status is not PrinterStatus.OFFLINE, status is PrinterStatus.IDLE, live.record.printer.name)


def slots(tx: Transaction, account_id: int, ready: Mapping[int, Readiness]) -> Sequence[PrinterSlot]:
    """All printers of the account; one with an open attempt is not idle."""
    organization = tx.fleet.organizations.of_account(account_id)
    taken = tx.fleet.jobs.on_printers(organization.id) if organization is not None else {}
    loaded = tx.fleet.materials.loaded(account_id)
    found = []
    for printer in tx.fleet.printers.of_account(account_id):
        live = ready.get(printer.printer_id, OFFLINE)
        found.append(
            PrinterSlot(
                printer.printer_id, printer.model, printer.group_id, frozenset(printer.tags), live.online,
                live.idle and printer.printer_id not in taken, printer.bed_clear,
                tuple(
                    LoadedMaterial(each.type, each.color, each.remaining)
                    for each in loaded.get(printer.printer_id, ())
                ),
                live.name,
            )
        )  # fmt: skip
    return found


def queued(job: Job) -> QueuedJob:
    return QueuedJob(
        job.id, int(job.priority), job.created_at, job.waiting, job.wanted_printer_id, job.model, job.group_id,
        frozenset(job.printer_tags), job.material, job.color, job.estimated_grams,
    )  # fmt: skip
