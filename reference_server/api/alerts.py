"""Alerts of a user: channels, wishes, what there was to tell and what became of each delivery."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.parameters import Blank, Blanks, Limit, One, Start
from reference_server.api.obico.views import Views, time
from reference_server.api.responses import Json, empty
from reference_server.services.alerts.channels import mask
from reference_server.services.alerts.model import AlertSettings, Channel, ChannelKind, Delivery, DeliveryTry
from reference_server.services.errors import Invalid
from reference_server.services.history import MOST_AT_ONCE
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import DeliveryQuery, NoticeQuery

router = APIRouter(prefix="/api/v1", tags=["alerts"])

PAGE = 50
"""Entries without a `limit`."""

Kinds = Annotated[
    list[NoticeKind] | None, Blanks, Query(alias="filter_by_kinds[]", max_length=50, description="Only these.")
]


# --- channels ---


@router.get("/notification_channels/")
async def channels(context: Services, caller: User_) -> Response:
    return Json([_channel(one) for one in await run_in_threadpool(context.alert_channels.all, caller.user)])


@router.post("/notification_channels/", status_code=201)
async def create_channel(request: Request, context: Services, caller: User_) -> Response:
    """Where `target` cannot be used, the answer says why. A web hook's `secret` is shown in this answer only."""
    draft = context.alert_channels.draft(caller.user, await json_object(request))
    await _examine(context, draft)
    await run_in_threadpool(context.alert_queue.fan_out)  # what happened before is not for this one
    made = await run_in_threadpool(context.alert_channels.add, draft)
    return Json(_channel(made, secret=made.kind is ChannelKind.WEBHOOK), status_code=201)


@router.get("/notification_channels/{channel_id}/")
async def channel(channel_id: Id, context: Services, caller: User_) -> Response:
    return Json(_channel(await run_in_threadpool(context.alert_channels.get, caller.user, channel_id)))


@router.patch("/notification_channels/{channel_id}/")
async def change_channel(channel_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """A `secret` that was given (or made anew by an empty one) is shown in this answer only."""
    body = await json_object(request)
    old = await run_in_threadpool(context.alert_channels.get, caller.user, channel_id)
    new = context.alert_channels.changed(old, body)
    if new.target != old.target:
        await _examine(context, new)
    saved = await run_in_threadpool(context.alert_channels.save, caller.user, new)
    return Json(_channel(saved, secret=saved.secret != old.secret))


@router.delete("/notification_channels/{channel_id}/", status_code=204)
async def remove_channel(channel_id: Id, context: Services, caller: User_) -> Response:
    """With its deliveries, also those that are still on their way."""
    await run_in_threadpool(context.alert_channels.remove, caller.user, channel_id)
    return empty(204)


@router.post("/notification_channels/{channel_id}/test/")
async def try_channel(channel_id: Id, context: Services, caller: User_) -> Response:
    """Sends a message at once, past quiet hours, queue and log, and tells what came back. Works for one that is
    switched off, too."""
    context.alert_test_throttle.take(str(caller.user.id))
    found = await run_in_threadpool(context.alert_channels.get, caller.user, channel_id)
    parcel = await run_in_threadpool(context.alert_queue.test_parcel, found)
    receipt = await context.courier.carry(parcel)
    return Json(
        {"delivered": receipt.ok, "status": receipt.status, "detail": receipt.detail, "seconds": receipt.took}
    )


async def _examine(context: Context, draft: Channel) -> None:
    problem = await context.courier.examine(draft.kind, draft.target)
    if problem is not None:
        raise Invalid.field("target", f"{problem[:1].upper()}{problem[1:]}.")


# --- wishes ---


@router.get("/notification_settings/")
async def settings(context: Services, caller: User_) -> Response:
    return Json(_settings(await run_in_threadpool(context.alert_channels.settings, caller.user)))


@router.patch("/notification_settings/")
async def change_settings(request: Request, context: Services, caller: User_) -> Response:
    """Kinds that are not named stay as they are."""
    body = await json_object(request)
    return Json(_settings(await run_in_threadpool(context.alert_channels.change_settings, caller.user, body)))


# --- what there was to tell ---


@router.get("/notices/")
async def notices(
    request: Request,
    context: Services,
    caller: User_,
    kinds: Kinds = None,
    printer_id: Annotated[One | None, Blank, Query()] = None,
    print_id: Annotated[One | None, Blank, Query()] = None,
    start: Start = None,
    limit: Limit = None,
) -> Response:
    """Newest first, whether anybody was told or not; kept for 180 days."""
    query = NoticeQuery(
        caller.user.id, tuple(kinds) if kinds else None, printer_id, print_id, start or 0, _limit(limit)
    )
    found, total = await run_in_threadpool(context.alert_channels.notices, query)
    views = context.views(request)
    return _page([_notice(one, views) for one in found], total)


@router.get("/notification_deliveries/")
async def deliveries(
    request: Request,
    context: Services,
    caller: User_,
    channel_id: Annotated[One | None, Blank, Query()] = None,
    notice_id: Annotated[One | None, Blank, Query()] = None,
    start: Start = None,
    limit: Limit = None,
) -> Response:
    """Newest first, with every try; kept for 30 days after their end."""
    query = DeliveryQuery(caller.user.id, channel_id, notice_id, start or 0, _limit(limit))
    found, total = await run_in_threadpool(context.alert_channels.deliveries, query)
    views = context.views(request)
    return _page([_delivery(one, notice, tries, views) for one, notice, tries in found], total)


def _limit(limit: int | None) -> int:
    return PAGE if limit is None else min(limit, MOST_AT_ONCE)


def _page(entries: list[dict[str, Any]], total: int) -> Response:
    answer = Json(entries)
    answer.headers["X-Total-Count"] = str(total)
    return answer


# --- as JSON ---


def _channel(channel: Channel, *, secret: bool = False) -> dict[str, Any]:
    return {
        "id": channel.id,
        "kind": channel.kind.value,
        "name": channel.name,
        "enabled": channel.enabled,
        "target": mask(channel),
        "secret": channel.secret if secret else None,
        "template": channel.template,
        "kinds": None if channel.kinds is None else [kind.value for kind in channel.kinds],
        "created_at": time(channel.created_at),
        "delivered_at": time(channel.delivered_at),
        "failing_since": time(channel.failing_since),
        "disabled_at": time(channel.disabled_at),
        "disabled_reason": channel.disabled_reason,
    }


def _settings(settings: AlertSettings) -> dict[str, Any]:
    quiet = None
    if settings.quiet_from is not None and settings.quiet_until is not None:
        quiet = {
            "from": _clock(settings.quiet_from),
            "until": _clock(settings.quiet_until),
            "action": settings.quiet_action.value,
        }
    return {
        "kinds": {kind.value: kind in settings.kinds for kind in NoticeKind},
        "urgent": {kind.value: kind in settings.urgent_kinds for kind in NoticeKind},
        "quiet_hours": quiet,
        "zone": settings.zone,
    }


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _notice(notice: Notice, views: Views) -> dict[str, Any]:
    return {
        "id": notice.id,
        "kind": notice.kind.value,
        "title": notice.title,
        "text": notice.text,
        "created_at": time(notice.created_at),
        "printer": notice.printer_id,
        "print": notice.print_id,
        "printer_event": notice.event_id,
        "image_url": views.media(notice.image_path),
        "data": dict(notice.data),
    }


def _delivery(
    delivery: Delivery, notice: Notice | None, tries: list[DeliveryTry], views: Views
) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "uid": delivery.uid,
        "channel": delivery.channel_id,
        "notice": _notice(notice, views) if notice is not None else None,
        "state": delivery.state.value,
        "created_at": time(delivery.created_at),
        "due_at": time(delivery.due_at),
        "ended_at": time(delivery.ended_at),
        "reason": delivery.reason,
        "tries": [
            {"at": time(one.at), "ok": one.ok, "status": one.status, "detail": one.detail, "seconds": one.took}
            for one in tries
        ],
    }
