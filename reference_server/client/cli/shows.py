"""How objects look as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping

from reference_server.client.cli.text import bar, degrees, grams, percent, span, when
from reference_server.client.objects import Group, Job, Material, Printer
from reference_server.client.office_objects import Webhook

PRINTERS = ("PRINTER", "STATUS", "PROGRESS", "HOTEND", "BED", "JOB", "GROUP", "ID")
JOBS = ("JOB", "STATUS", "PRIORITY", "PROGRESS", "COPIES", "PRINTER", "TIME", "WHY", "ID")
MATERIALS = ("TYPE", "COLOR", "BRAND", "LEFT", "OF", "STATUS", "PRINTER", "ID")
GROUPS = ("GROUP", "PRINTERS", "ID")
WEBHOOKS = ("URL", "EVENTS", "STATUS", "ID")


def state_of(printer: Printer) -> str:
    """The printer's own word where it says more than the status; and what keeps the next job away."""
    word = printer.status
    if printer.state and printer.status == "printing" and printer.state.lower() != "printing":
        word = printer.state.lower()
    return word if printer.bed_clear or printer.status == "printing" else f"{word}, bed not clear"


def printer_row(printer: Printer) -> tuple[object, ...]:
    progress = "" if printer.progress is None else f"{bar(printer.progress / 100, 10)} {printer.progress:3d} %"
    return (printer.name, state_of(printer), progress, degrees(printer.temperatures.hotend),
            degrees(printer.temperatures.bed), printer.current_job, printer.group, printer.id)  # fmt: skip


def job_row(job: Job, printers: Mapping[str, str]) -> tuple[object, ...]:
    """`printers`: id → name."""
    copies = f"{job.counts.completed}/{job.copies}" if job.counts else job.copies
    printer = printers.get(job.printer_id, job.printer_id) if job.printer_id else ""
    status = "cancelling" if job.cancelling and not job.is_over else job.status
    why = (job.reason or job.waiting_reason) if job.status in {"queued", "failed"} else None
    time = f"~{span(job.estimated_duration)}" if job.estimated_duration else ""
    time = span(job.elapsed_time) if job.elapsed_time else time
    return job.name, status, job.priority, percent(job.progress), copies, printer, time, why, job.id


def material_row(material: Material, printers: Mapping[str, str]) -> tuple[object, ...]:
    loaded = printers.get(material.printer_id, material.printer_id) if material.printer_id else ""
    return (material.type, material.color, material.brand, grams(material.remaining_weight),
            grams(material.spool_weight), material.status, loaded, material.id)  # fmt: skip


def group_row(group: Group) -> tuple[object, ...]:
    return group.name, group.printers, group.id


def webhook_row(hook: Webhook) -> tuple[object, ...]:
    status = "on" if hook.enabled else "off"
    if hook.disabled_at:
        status = f"off since {when(hook.disabled_at)}: {hook.disabled_reason}"
    elif hook.failing_since:
        status = f"failing since {when(hook.failing_since)}"
    return hook.url, ", ".join(hook.events), status, hook.id
