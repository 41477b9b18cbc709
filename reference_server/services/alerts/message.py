"""What is sent: a notice in words, as a web hook's body, with its link, picture and signature. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from reference_server.services.alerts.model import Channel, ChannelKind
from reference_server.services.alerts.template import BadTemplate, render
from reference_server.services.deliveries import Receipt
from reference_server.services.model import Print, Printer
from reference_server.services.notices import Notice


@dataclass(frozen=True, slots=True)
class Links:
    """`base`: the server's address for people. `image_url`: a signed, expiring address of a stored picture.
    `image_file`: where it is on this machine, None if it is gone."""

    base: str
    image_url: Callable[[str], str]
    image_file: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for one channel. `body`: of a web hook. `image`: a file on this machine."""

    uid: str
    kind: ChannelKind
    target: str = field(repr=False)
    secret: str = field(repr=False)
    urgent: bool
    title: str
    text: str
    link: str
    body: str
    image: str | None = None


class Courier(Protocol):
    async def carry(self, parcel: Parcel) -> Receipt: ...


def page_of(notice: Notice, base: str) -> str:
    """The page that shows it: its print's, else its printer's."""
    if notice.print_id is not None:
        return f"{base}/#/prints/{notice.print_id}"
    return f"{base}/#/printers/{notice.printer_id}" if notice.printer_id is not None else f"{base}/"


def time(value: datetime | None) -> str | None:
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value is not None else None


def standard_body(
    uid: str, notice: Notice, printer: Printer | None, job: Print | None, links: Links
) -> dict[str, Any]:
    """The body of fleet-api.md §6."""
    return {
        "id": uid,
        "event": "test" if notice.data.get("test") is True else notice.kind.value,
        "created_at": time(notice.created_at),
        "data": {
            "title": notice.title,
            "text": notice.text,
            "url": page_of(notice, links.base),
            "image_url": links.image_url(notice.image_path) if notice.image_path else None,
            "notice_id": notice.id,
            "printer": {"id": printer.id, "name": printer.name} if printer is not None else None,
            "print": {
                "id": job.id,
                "filename": job.filename,
                "started_at": time(job.started_at),
                "ended_at": time(job.ended_at),
                "ended_reason": job.ended_reason.value if job.ended_reason else None,
            } if job is not None else None,
            "details": dict(notice.data),
        },
    }  # fmt: skip


def compose(
    uid: str, channel: Channel, notice: Notice, printer: Printer | None, job: Print | None, links: Links,
    *, urgent: bool,
) -> Parcel:  # fmt: skip
    """Never fails: a template that no longer fits gives way to the standard body."""
    body = ""
    if channel.kind is ChannelKind.WEBHOOK:
        standard = standard_body(uid, notice, printer, job, links)
        body = json.dumps(standard, separators=(",", ":"))
        if channel.template is not None:
            try:
                body = render(channel.template, standard)
            except BadTemplate:
                body = json.dumps(standard, separators=(",", ":"))
    return Parcel(
        uid, channel.kind, channel.target, channel.secret, urgent, notice.title, notice.text,
        page_of(notice, links.base), body, links.image_file(notice.image_path) if notice.image_path else None,
    )  # fmt: skip
