"""What both clients offer, written once (call.py): each method says which call it is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from reference_server.client import objects
from reference_server.client.call import Asked, Call, call, listing, nothing, once
from reference_server.client.reading import read_object, write_time
from reference_server.client.upload import Progress, Upload

When = str | date | datetime


class Unset(Enum):
    """What a change leaves as it is; None empties a field."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET

UPLOAD_PATIENCE = 600.0
"""Seconds: a file of 500 MB is read through before the answer comes."""
FETCH_PATIENCE = 600.0
"""The same for a file that the server fetches itself."""
LINK_PATIENCE = 60.0
"""Seconds: the server talks to the printer's host meanwhile."""


def _id(text: str) -> str:
    return quote(text, safe="")


def _params(**values: str | int | bool | When | None) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for name, value in values.items():
        if value is not None:
            wire = {"from_date": "from", "to_date": "to"}.get(name, name)
            found[wire] = value if isinstance(value, int) else str(write_time(value))
    return found


def _given(**values: object) -> dict[str, Any]:
    """A body: what is UNSET is left out."""
    return {name: value for name, value in values.items() if value is not UNSET}


_printer = partial(read_object, objects.Printer)


class Printers:
    @listing
    def list(
        self, *, status: objects.PrinterStatus | None = None, group: str | None = None, tag: str | None = None,
        q: str | None = None, sort: str | None = None,
    ) -> Asked[objects.Printer]:  # fmt: skip
        """`group`: a group's id or name; `tag`: one, or several by comma (all of them); `q`: a part of name, model or
        location."""
        return Asked("/printers", _printer, _params(status=status, group=group, tag=tag, q=q, sort=sort))

    @call
    def get(self, printer_id: str) -> Call[objects.Printer]:
        return Call("GET", f"/printers/{_id(printer_id)}", _printer)

    @call
    def create(
        self, name: str, *, connection_url: str | Unset | None = UNSET, api_key: str | Unset | None = UNSET,
        model: str | Unset = UNSET, group: str | Unset | None = UNSET, tags: Sequence[str] | Unset = UNSET,
        location: str | Unset = UNSET,
    ) -> Call[objects.Printer]:  # fmt: skip
        """Links the printer at `connection_url` (OctoPrint's or Moonraker's address) with its `api_key`, which is used
        once and not kept. One that is not reached is made offline with a `link_code`."""
        body = _given(name=name, connection_url=connection_url, api_key=api_key, model=model, group=group,
                      tags=_sequence(tags), location=location)  # fmt: skip
        return Call("POST", "/printers", _printer, body=body, patience=LINK_PATIENCE)

    @call
    def update(
        self, printer_id: str, *, name: str | Unset = UNSET, model: str | Unset = UNSET, location: str | Unset = UNSET,
        group: str | Unset | None = UNSET, tags: Sequence[str] | Unset = UNSET, auto_continue: bool | Unset = UNSET,
    ) -> Call[objects.Printer]:  # fmt: skip
        """What is not given stays. `auto_continue`: something takes parts off that bed by itself."""
        body = _given(name=name, model=model, location=location, group=group, tags=_sequence(tags),
                      auto_continue=auto_continue)  # fmt: skip
        return Call("PATCH", f"/printers/{_id(printer_id)}", _printer, body=body)

    @call
    def delete(self, printer_id: str) -> Call[None]:
        """Takes it out of the farm; its history stays."""
        return Call("DELETE", f"/printers/{_id(printer_id)}", nothing)

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


def _sequence(value: Sequence[str] | Unset) -> object:
    return value if isinstance(value, Unset) else [*value]


def _act(printer_id: str, action: str) -> Call[objects.ActionResult]:
    read = partial(read_object, objects.ActionResult)
    return Call("POST", f"/printers/{_id(printer_id)}/actions", read, body={"action": action})


_group = partial(read_object, objects.Group)


class Groups:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[objects.Group]:
        return Asked("/groups", _group, _params(sort=sort))

    @call
    def get(self, group_id: str) -> Call[objects.Group]:
        return Call("GET", f"/groups/{_id(group_id)}", _group)

    @call
    def create(self, name: str) -> Call[objects.Group]:
        return Call("POST", "/groups", _group, body={"name": name})

    @call
    def update(self, group_id: str, *, name: str) -> Call[objects.Group]:
        return Call("PATCH", f"/groups/{_id(group_id)}", _group, body={"name": name})

    @call
    def delete(self, group_id: str) -> Call[None]:
        """Its printers stay, in no group."""
        return Call("DELETE", f"/groups/{_id(group_id)}", nothing)


_job = partial(read_object, objects.Job)


class Jobs:
    @listing
    def list(
        self, *, status: objects.JobStatus | None = None, printer_id: str | None = None,
        priority: objects.Priority | None = None, from_date: When | None = None, to_date: When | None = None,
        sort: str | None = None,
    ) -> Asked[objects.Job]:  # fmt: skip
        return Asked("/jobs", _job, _params(status=status, printer_id=printer_id, priority=priority,
                                            from_date=from_date, to_date=to_date, sort=sort))  # fmt: skip

    @call
    def get(self, job_id: str) -> Call[objects.Job]:
        return Call("GET", f"/jobs/{_id(job_id)}", _job)

    @call
    def create(
        self, *, file_url: str | None = None, file: str | os.PathLike[str] | None = None, name: str | Unset = UNSET,
        priority: objects.Priority | Unset = UNSET, printer_id: str | Unset = UNSET, material: str | Unset = UNSET,
        copies: int | Unset = UNSET, tags: Sequence[str] | Unset = UNSET, group: str | Unset = UNSET,
        printer_model: str | Unset = UNSET, progress: Progress | None = None,
    ) -> Call[objects.Job]:  # fmt: skip
        """One of `file_url`, which the server fetches, and `file`, a G-code file here, which is sent piece by piece;
        `progress(sent, total)` is then called with bytes. Without `printer_id` the next printer that fits takes it.
        Raises FileInvalid, QuotaExceeded, and OSError if the file cannot be read."""
        if (file_url is None) == (file is None):
            raise ValueError("one of file_url and file is needed")
        body = _given(name=name, priority=priority, printer_id=printer_id, material=material, copies=copies,
                      tags=_sequence(tags), group=group, printer_model=printer_model)  # fmt: skip
        if file is None:
            return Call("POST", "/jobs", _job, body={"file_url": file_url, **body}, patience=FETCH_PATIENCE)
        path = Path(file)
        upload = Upload(path, _form(body), path.name, progress)
        return Call("POST", "/jobs", _job, upload=upload, patience=UPLOAD_PATIENCE)

    @call
    def update(
        self, job_id: str, *, name: str | Unset = UNSET, priority: objects.Priority | Unset = UNSET,
        printer_id: str | Unset | None = UNSET, tags: Sequence[str] | Unset = UNSET,
    ) -> Call[objects.Job]:  # fmt: skip
        """Of a queued job."""
        body = _given(name=name, priority=priority, printer_id=printer_id, tags=_sequence(tags))
        return Call("PATCH", f"/jobs/{_id(job_id)}", _job, body=body)

    @call
    def cancel(self, job_id: str) -> Call[None]:
        """Takes it out of the queue; copies that print are cancelled on their printers."""
        return Call("DELETE", f"/jobs/{_id(job_id)}", nothing)

    @call
    def retry(self, job_id: str) -> Call[objects.Job]:
        """Queues what failed or was cancelled once more."""
        return Call("POST", f"/jobs/{_id(job_id)}/retry", _job)


def _form(body: Mapping[str, Any]) -> Mapping[str, str]:
    """A body's fields as those of a form; a list by comma."""
    return {name: ",".join(value) if name == "tags" else str(value) for name, value in body.items()}


_material = partial(read_object, objects.Material)


class Materials:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[objects.Material]:
        return Asked("/materials", _material, _params(sort=sort))

    @call
    def get(self, material_id: str) -> Call[objects.Material]:
        return Call("GET", f"/materials/{_id(material_id)}", _material)

    @call
    def create(
        self, type: str, *, brand: str | Unset = UNSET, color: str | Unset = UNSET,  # noqa: A002 - the API's word
        spool_weight: float | Unset = UNSET, remaining_weight: float | Unset = UNSET,
        cost_per_kg: float | Unset | None = UNSET, printer_id: str | Unset | None = UNSET,
        reorder_threshold: float | Unset | None = UNSET,
    ) -> Call[objects.Material]:  # fmt: skip
        """A spool: masses in g, cost in the organization's currency. `printer_id`: it is loaded there."""
        body = _given(type=type, brand=brand, color=color, spool_weight=spool_weight,
                      remaining_weight=remaining_weight, cost_per_kg=cost_per_kg, printer_id=printer_id,
                      reorder_threshold=reorder_threshold)  # fmt: skip
        return Call("POST", "/materials", _material, body=body)

    @call
    def update(
        self, material_id: str, *, type: str | Unset = UNSET,  # noqa: A002 - the API's word
        brand: str | Unset = UNSET, color: str | Unset = UNSET, spool_weight: float | Unset = UNSET,
        remaining_weight: float | Unset = UNSET, cost_per_kg: float | Unset | None = UNSET,
        printer_id: str | Unset | None = UNSET, reorder_threshold: float | Unset | None = UNSET,
    ) -> Call[objects.Material]:  # fmt: skip
        body = _given(type=type, brand=brand, color=color, spool_weight=spool_weight,
                      remaining_weight=remaining_weight, cost_per_kg=cost_per_kg, printer_id=printer_id,
                      reorder_threshold=reorder_threshold)  # fmt: skip
        return Call("PATCH", f"/materials/{_id(material_id)}", _material, body=body)


class Webhooks:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[objects.Webhook]:
        return Asked("/webhooks", _webhook, _params(sort=sort))

    @call
    def get(self, webhook_id: str) -> Call[objects.Webhook]:
        return Call("GET", f"/webhooks/{_id(webhook_id)}", _webhook)

    @call
    def create(
        self, url: str, events: Sequence[str], *, secret: str | Unset = UNSET, enabled: bool | Unset = UNSET
    ) -> Call[objects.Webhook]:
        """`events`: such as `job.completed` or `job.*`; `secret`: what `verify_signature` needs; it is never shown."""
        body = _given(url=url, events=[*events], secret=secret, enabled=enabled)
        return Call("POST", "/webhooks", _webhook, body=body)

    @call
    def update(
        self, webhook_id: str, *, url: str | Unset = UNSET, events: Sequence[str] | Unset = UNSET,
        secret: str | Unset = UNSET, enabled: bool | Unset = UNSET,
    ) -> Call[objects.Webhook]:  # fmt: skip
        body = _given(url=url, events=_sequence(events), secret=secret, enabled=enabled)
        return Call("PATCH", f"/webhooks/{_id(webhook_id)}", _webhook, body=body)

    @call
    def delete(self, webhook_id: str) -> Call[None]:
        return Call("DELETE", f"/webhooks/{_id(webhook_id)}", nothing)


_webhook = partial(read_object, objects.Webhook)
_organization = partial(read_object, objects.Organization)
_user = partial(read_object, objects.User)


class Organization:
    @call
    def get(self) -> Call[objects.Organization]:
        return Call("GET", "/organization", _organization)


class Users:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[objects.User]:
        return Asked("/users", _user, _params(sort=sort))

    @call
    def get(self, user_id: str) -> Call[objects.User]:
        return Call("GET", f"/users/{_id(user_id)}", _user)


class ApiKeys:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[objects.ApiKey]:
        return Asked("/api-keys", _api_key, _params(sort=sort))

    @call
    def current(self) -> Call[objects.ApiKey]:
        """The key that this client uses."""
        return Call("GET", "/api-keys/current", _api_key)

    @call
    def create(
        self, name: str, scopes: Sequence[str], *, expires_at: datetime | str | None = None
    ) -> Call[objects.NewApiKey]:
        """The answer alone shows the key. It is not sent again when its answer is lost: there would be two keys."""
        body = {"name": name, "scopes": [*scopes], "expires_at": write_time(expires_at)}
        return once(Call("POST", "/api-keys", partial(read_object, objects.NewApiKey), body=body))

    @call
    def delete(self, key_id: str) -> Call[None]:
        return Call("DELETE", f"/api-keys/{_id(key_id)}", nothing)


_api_key = partial(read_object, objects.ApiKey)


class Audit:
    @listing
    def list(self) -> Asked[objects.AuditEntry]:
        """Who did what, newest first."""
        return Asked("/audit", partial(read_object, objects.AuditEntry))


class Analytics:
    @call
    def fleet(
        self, *, from_date: When | None = None, to_date: When | None = None, group: str | None = None
    ) -> Call[objects.FleetAnalytics]:
        """Days are inclusive."""
        params = _params(from_date=from_date, to_date=to_date, group=group)
        return Call("GET", "/analytics/fleet", partial(read_object, objects.FleetAnalytics), params)
