"""What a job's view has beside what is stored: addresses, and how far its prints are right now. On the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_core.wire import read
from reference_server.api.obico.views import Views
from reference_server.realtime.hub import Hub
from reference_server.services.fleet.jobs.model import Attempt, AttemptState
from reference_server.services.fleet.jobs.views import JobCard, progress_of


def _running(hub: Hub, attempt: Attempt) -> Mapping[str, Any]:
    """The progress block of the attempt's print, if its agent tells of it."""
    live = hub.live.get(attempt.printer_id)
    if attempt.state is not AttemptState.PRINTING or live is None or live.record.current_print is None:
        return {}
    if live.record.current_print.id != attempt.print_id:
        return {}
    return read.mapping((live.status or {}).get("progress")) or {}


def shown(card: JobCard, hub: Hub, views: Views, why: str | None = None) -> dict[str, Any]:
    """`why`: the next copy waits."""
    view = dict(card.view)
    running = [_running(hub, attempt) for attempt in card.active]
    percent = [min(100.0, max(0.0, read.number(each.get("completion")) or 0.0)) for each in running]
    spent = [max(0.0, read.number(each.get("printTime")) or 0.0) for each in running]
    view["progress"] = progress_of(card.job, sum(percent))
    view["elapsed_time"] = round(card.job.elapsed + sum(spent))
    view["waiting_reason"] = why
    if card.file is not None and card.file.media_path is not None:
        view["file_url"] = views.media(card.file.media_path)
        if card.file.thumbnails:
            view["file"] = {**view["file"], "thumbnail_url": views.media(card.file.thumbnails[0])}
    return view
