"""What both clients offer, written once (call.py): each method says which call it is. Here: the printers, their jobs,
materials and figures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from reference_server.client import figures, objects
from reference_server.client.building import UNSET, Unset, When, given, params, path_id, several
from reference_server.client.call import Asked, Call, call, listing, nothing
from reference_server.client.reading import Shown, read_object
from reference_server.client.upload import Progress, Upload

UPLOAD_PATIENCE = 600.0
"""Seconds: a file of 500 MB is read through before the answer comes."""
FETCH_PATIENCE = 600.0
"""The same for a file that the server fetches itself."""
LINK_PATIENCE = 60.0
"""Seconds: the server talks to the printer's host meanwhile."""


_printer = partial(read_object, objects.Printer)


class Printers:
    @listing
    def list(
        self, *, status: objects.PrinterStatus | None = None, group: str | None = None, tag: str | None = None,
        q: str | None = None, sort: str | None = None,
    ) -> Asked[objects.Printer]:  # fmt: skip
        """`group`: a group's id or name; `tag`: one, or several by comma (all of them); `q`: a part of name, model or
        location."""
        return Asked("/printers", _printer, params(status=status, group=group, tag=tag, q=q, sort=sort))

    @call
    def get(self, printer_id: str) -> Call[objects.Printer]:
        return Call("GET", f"/printers/{path_id(printer_id)}", _printer)

    @call
    def create(
        self, name: str, *, connection_url: str | Unset | None = UNSET, api_key: str | Unset | None = UNSET,
        server_url: str | Unset | None = UNSET, model: str | Unset = UNSET, group: str | Unset | None = UNSET,
        tags: Sequence[str] | Unset = UNSET, location: str | Unset = UNSET, auto_continue: bool | Unset = UNSET,
    ) -> Call[objects.NewPrinter]:  # fmt: skip
        """Links the printer at `connection_url` (OctoPrint's or Moonraker's address) with its `api_key`, which is used
        once and not kept. One that is not reached is made offline with a `link_code`. `server_url`: the server as the
        printer's host reaches it, if not by the address that you use."""
        body = given(name=name, connection_url=connection_url, api_key=api_key, server_url=server_url, model=model,
                     group=group, tags=several(tags), location=location, auto_continue=auto_continue)  # fmt: skip
        read = partial(read_object, objects.NewPrinter)
        return Call("POST", "/printers", read, body=body, patience=LINK_PATIENCE)

    @call
    def link(
        self, printer_id: str, *, connection_url: str | Unset | None = UNSET, api_key: str | Unset | None = UNSET,
        server_url: str | Unset | None = UNSET,
    ) -> Call[objects.Link]:  # fmt: skip
        """Links a printer anew, or gets a code for it; an agent that spoke for it before is cut off."""
        body = given(connection_url=connection_url, api_key=api_key, server_url=server_url)
        read = partial(read_object, objects.Link)
        return Call("POST", f"/printers/{path_id(printer_id)}/link", read, body=body, patience=LINK_PATIENCE)

    @call
    def update(
        self, printer_id: str, *, name: str | Unset = UNSET, model: str | Unset = UNSET, location: str | Unset = UNSET,
        group: str | Unset | None = UNSET, tags: Sequence[str] | Unset = UNSET, auto_continue: bool | Unset = UNSET,
    ) -> Call[objects.Printer]:  # fmt: skip
        """What is not given stays. `auto_continue`: something takes parts off that bed by itself."""
        body = given(name=name, model=model, location=location, group=group, tags=several(tags),
                      auto_continue=auto_continue)  # fmt: skip
        return Call("PATCH", f"/printers/{path_id(printer_id)}", _printer, body=body)

    @call
    def delete(self, printer_id: str) -> Call[None]:
        """Takes it out of the farm; its history stays."""
        return Call("DELETE", f"/printers/{path_id(printer_id)}", nothing)

    @call
    def action(self, printer_id: str, action: objects.Action) -> Call[objects.ActionResult]:
        """Raises PrinterOffline, PrinterBusy (`home`, and `cooldown` while it prints)."""
        return _act(printer_id, action)

    @call
    def pause(self, printer_id: str) -> Call[objects.ActionResult]:
        return _act(printer_id, "pause")

    @call
    def resume(self, printer_id: str) -> Call[objects.ActionResult]:
        return _act(printer_id, "resume")

    @call
    def cancel(self, printer_id: str) -> Call[objects.ActionResult]:
        """Ends the print under way."""
        return _act(printer_id, "cancel")

    @call
    def home(self, printer_id: str) -> Call[objects.ActionResult]:
        return _act(printer_id, "home")

    @call
    def cooldown(self, printer_id: str) -> Call[objects.ActionResult]:
        return _act(printer_id, "cooldown")

    @call
    def clear_bed(self, printer_id: str) -> Call[objects.ActionResult]:
        """You say that no part is on the bed: the next job may start there."""
        return _act(printer_id, "clear_bed")


def _act(printer_id: str, action: str) -> Call[objects.ActionResult]:
    read = partial(read_object, objects.ActionResult)
    return Call("POST", f"/printers/{path_id(printer_id)}/actions", read, body={"action": action})


_group = partial(read_object, objects.Group)


class Groups:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[objects.Group]:
        return Asked("/groups", _group, params(sort=sort))

    @call
    def get(self, group_id: str) -> Call[objects.Group]:
        return Call("GET", f"/groups/{path_id(group_id)}", _group)

    @call
    def create(self, name: str) -> Call[objects.Group]:
        return Call("POST", "/groups", _group, body={"name": name})

    @call
    def update(self, group_id: str, *, name: str) -> Call[objects.Group]:
        return Call("PATCH", f"/groups/{path_id(group_id)}", _group, body={"name": name})

    @call
    def delete(self, group_id: str) -> Call[None]:
        """Its printers stay, in no group."""
        return Call("DELETE", f"/groups/{path_id(group_id)}", nothing)


_job = partial(read_object, objects.Job)


class Jobs:
    @listing
    def list(
        self, *, status: objects.JobStatus | None = None, printer_id: str | None = None,
        priority: objects.Priority | None = None, from_date: When | None = None, to_date: When | None = None,
        sort: str | None = None,
    ) -> Asked[objects.Job]:  # fmt: skip
        return Asked("/jobs", _job, params(status=status, printer_id=printer_id, priority=priority,
                                            from_date=from_date, to_date=to_date, sort=sort))  # fmt: skip

    @call
    def get(self, job_id: str) -> Call[objects.Job]:
        return Call("GET", f"/jobs/{path_id(job_id)}", _job)

    @call
    def create(
        self, *, file_url: str | None = None, file: str | os.PathLike[str] | None = None, name: str | Unset = UNSET,
        priority: objects.Priority | Unset = UNSET, printer_id: str | Unset = UNSET, material: str | Unset = UNSET,
        color: str | Unset = UNSET, copies: int | Unset = UNSET, retries: int | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET, group: str | Unset = UNSET, printer_model: str | Unset = UNSET,
        printer_tags: Sequence[str] | Unset = UNSET, progress: Progress | None = None,
    ) -> Call[objects.Job]:  # fmt: skip
        """One of `file_url`, which the server fetches, and `file`, a G-code file here, which is sent piece by piece;
        `progress(sent, total)` is then called with bytes. Without `printer_id` the next printer that fits takes it:
        by `material` and `color` that are loaded, `printer_model`, `group`, and the `tags` that printers have (or
        `printer_tags`, if they shall not be labels of the job). `retries`: how often a copy that failed is queued anew.
        Raises FileInvalid, QuotaExceeded, and OSError if the file cannot be read."""
        if (file_url is None) == (file is None):
            raise ValueError("one of file_url and file is needed")
        body = given(name=name, priority=priority, printer_id=printer_id, material=material, color=color,
                     copies=copies, retries=retries, tags=several(tags), group=group, printer_model=printer_model,
                     printer_tags=several(printer_tags))  # fmt: skip
        if file is None:
            return Call("POST", "/jobs", _job, body={"file_url": file_url, **body}, patience=FETCH_PATIENCE)
        path = Path(file)
        upload = Upload(path, _form(body), path.name, progress)
        return Call("POST", "/jobs", _job, upload=upload, patience=UPLOAD_PATIENCE)

    @call
    def update(
        self, job_id: str, *, name: str | Unset = UNSET, priority: objects.Priority | Unset = UNSET,
        printer_id: str | Unset | None = UNSET, printer_model: str | Unset | None = UNSET,
        group: str | Unset | None = UNSET, material: str | Unset | None = UNSET, color: str | Unset | None = UNSET,
        copies: int | Unset = UNSET, retries: int | Unset = UNSET, tags: Sequence[str] | Unset = UNSET,
        printer_tags: Sequence[str] | Unset = UNSET,
    ) -> Call[objects.Job]:  # fmt: skip
        """Of the copies that still wait; what is not given stays. There may be more copies, not fewer."""
        body = given(name=name, priority=priority, printer_id=printer_id, printer_model=printer_model, group=group,
                     material=material, color=color, copies=copies, retries=retries, tags=several(tags),
                     printer_tags=several(printer_tags))  # fmt: skip
        return Call("PATCH", f"/jobs/{path_id(job_id)}", _job, body=body)

    @call
    def cancel(self, job_id: str) -> Call[objects.Job]:
        """Out of the queue. A copy that prints is cancelled on its printer: `cancelling` until that is done."""
        return Call("DELETE", f"/jobs/{path_id(job_id)}", _job)

    @call
    def retry(self, job_id: str) -> Call[objects.Job]:
        """Queues the copies again that failed."""
        return Call("POST", f"/jobs/{path_id(job_id)}/retry", _job)


def _form(body: Mapping[str, Any]) -> Mapping[str, str]:
    """A body's fields as those of a form; lists by comma."""
    if any("," in tag for name in ("tags", "printer_tags") for tag in body.get(name, ())):
        raise ValueError("a tag with a comma cannot go with a file")
    return {name: str(value) if isinstance(value, str | int) else ",".join(value) for name, value in body.items()}


_material = partial(read_object, objects.Material)


class Materials:
    @listing
    def list(
        self, *, type: str | None = None, status: objects.MaterialStatus | None = None,  # noqa: A002 - the API's word
        printer_id: str | None = None, q: str | None = None, sort: str | None = None,
    ) -> Asked[objects.Material]:  # fmt: skip
        """`q`: a part of type, brand or color."""
        return Asked("/materials", _material, params(type=type, status=status, printer_id=printer_id, q=q, sort=sort))

    @call
    def get(self, material_id: str) -> Call[objects.Material]:
        return Call("GET", f"/materials/{path_id(material_id)}", _material)

    @call
    def create(
        self, type: str, *, brand: str | Unset | None = UNSET,  # noqa: A002 - the API's word
        color: str | Unset | None = UNSET, diameter: float | Unset = UNSET, density: float | Unset | None = UNSET,
        spool_weight: float | Unset = UNSET, remaining_weight: float | Unset | None = UNSET,
        cost_per_kg: float | Unset | None = UNSET, printer_id: str | Unset | None = UNSET, tool: int | Unset = UNSET,
        reorder_threshold: float | Unset | None = UNSET,
    ) -> Call[objects.Material]:  # fmt: skip
        """A spool: masses in g, cost in the organization's currency. `printer_id`: it is loaded there."""
        body = given(type=type, brand=brand, color=color, diameter=diameter, density=density,
                     spool_weight=spool_weight, remaining_weight=remaining_weight, cost_per_kg=cost_per_kg,
                     printer_id=printer_id, tool=tool, reorder_threshold=reorder_threshold)  # fmt: skip
        return Call("POST", "/materials", _material, body=body)

    @call
    def update(
        self, material_id: str, *, type: str | Unset = UNSET,  # noqa: A002 - the API's word
        brand: str | Unset | None = UNSET, color: str | Unset | None = UNSET, diameter: float | Unset = UNSET,
        density: float | Unset | None = UNSET, spool_weight: float | Unset = UNSET,
        remaining_weight: float | Unset = UNSET, cost_per_kg: float | Unset | None = UNSET,
        printer_id: str | Unset | None = UNSET, tool: int | Unset = UNSET,
        reorder_threshold: float | Unset | None = UNSET,
    ) -> Call[objects.Material]:  # fmt: skip
        """What is not given stays. `printer_id` loads it there and unloads what was there; None unloads it.
        `remaining_weight`: what a scale says."""
        body = given(type=type, brand=brand, color=color, diameter=diameter, density=density,
                     spool_weight=spool_weight, remaining_weight=remaining_weight, cost_per_kg=cost_per_kg,
                     printer_id=printer_id, tool=tool, reorder_threshold=reorder_threshold)  # fmt: skip
        return Call("PATCH", f"/materials/{path_id(material_id)}", _material, body=body)

    @call
    def delete(self, material_id: str) -> Call[None]:
        """Archives it: what prints used of it stays known."""
        return Call("DELETE", f"/materials/{path_id(material_id)}", nothing)


class Analytics:
    """Days are the organization's and inclusive; without `to_date` up to now, without `from_date` the 30 days before.
    `interval` adds a series."""

    @call
    def fleet(
        self, *, from_date: When | None = None, to_date: When | None = None, group: str | None = None,
        interval: objects.Interval | None = None,
    ) -> Call[figures.FleetAnalytics]:  # fmt: skip
        return _figures("fleet", figures.FleetAnalytics, params(
            from_date=from_date, to_date=to_date, group=group, interval=interval))  # fmt: skip

    @call
    def printer(
        self, printer_id: str, *, from_date: When | None = None, to_date: When | None = None,
        interval: objects.Interval | None = None,
    ) -> Call[figures.PrinterAnalytics]:  # fmt: skip
        return _figures(f"printers/{path_id(printer_id)}", figures.PrinterAnalytics, params(
            from_date=from_date, to_date=to_date, interval=interval))  # fmt: skip

    @call
    def jobs(
        self, *, from_date: When | None = None, to_date: When | None = None, group: str | None = None,
        interval: objects.Interval | None = None,
    ) -> Call[figures.JobAnalytics]:  # fmt: skip
        return _figures("jobs", figures.JobAnalytics, params(
            from_date=from_date, to_date=to_date, group=group, interval=interval))  # fmt: skip

    @call
    def materials(
        self, *, from_date: When | None = None, to_date: When | None = None, group: str | None = None,
        interval: objects.Interval | None = None,
    ) -> Call[figures.MaterialAnalytics]:  # fmt: skip
        return _figures("materials", figures.MaterialAnalytics, params(
            from_date=from_date, to_date=to_date, group=group, interval=interval))  # fmt: skip

    @call
    def csv(
        self, of: Literal["fleet", "jobs", "materials"] = "fleet", *, from_date: When | None = None,
        to_date: When | None = None, group: str | None = None, interval: objects.Interval | None = None,
    ) -> Call[str]:  # fmt: skip
        """The same as CSV text: the series with `interval`, else the metrics (of materials: the spools)."""
        asked = params(from_date=from_date, to_date=to_date, group=group, interval=interval)
        return Call("GET", f"/analytics/{of}", str, {**asked, "format": "csv"}, text=True)

    @call
    def printer_csv(
        self, printer_id: str, *, from_date: When | None = None, to_date: When | None = None,
        interval: objects.Interval | None = None,
    ) -> Call[str]:  # fmt: skip
        asked = params(from_date=from_date, to_date=to_date, interval=interval)
        return Call("GET", f"/analytics/printers/{path_id(printer_id)}", str, {**asked, "format": "csv"}, text=True)


Figures = TypeVar("Figures", bound=Shown)


def _figures(of: str, kind: type[Figures], asked: Mapping[str, str | int]) -> Call[Figures]:
    return Call("GET", f"/analytics/{of}", partial(read_object, kind), asked)
