"""Web hooks: `/v1/webhooks` (fleet-api.md §6)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.fleet.auth import WebhooksWrite
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.route import FleetRoute, once_of
from reference_server.api.fleet.schemas import Page
from reference_server.api.fleet.schemas_webhooks import (
    DeliveryShown,
    NewWebhookShown,
    State,
    TestShown,
    WebhookChange,
    WebhookGiven,
    WebhookShown,
)
from reference_server.api.fleet.views import time
from reference_server.api.fleet.webhook_examples import ABOUT
from reference_server.api.responses import Json, empty
from reference_server.services.deliveries import DeliveryState
from reference_server.services.errors import Invalid
from reference_server.services.fleet.hooks.book import HookChange, LoggedDelivery
from reference_server.services.fleet.hooks.model import EVENTS, Webhook

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=FleetRoute)

SORTABLE = ("created_at", "updated_at", "url")
DELIVERIES_SORTABLE = ("created_at",)


def _view(hook: Webhook) -> dict[str, Any]:
    return {
        "id": hook.public_id, "url": hook.url, "events": list(hook.events), "enabled": hook.enabled,
        "created_at": time(hook.created_at), "updated_at": time(hook.updated_at),
        "last_delivered_at": time(hook.last_delivered_at), "failing_since": time(hook.failing_since),
        "disabled_at": time(hook.disabled_at), "disabled_reason": hook.disabled_reason,
    }  # fmt: skip


def _new_view(hook: Webhook, *, shown: bool) -> dict[str, Any]:
    return {**_view(hook), "secret": hook.secret if shown else None}


def _delivery(one: LoggedDelivery) -> dict[str, Any]:
    delivery = one.delivery
    return {
        "id": delivery.public_id, "event_id": one.event.public_id, "event": one.event.name,
        "object_id": one.event.object_id, "state": delivery.state.value, "created_at": time(delivery.created_at),
        "next_try_at": time(delivery.due_at) if delivery.state is DeliveryState.QUEUED else None,
        "ended_at": time(delivery.ended_at), "reason": delivery.reason,
        "tries": [
            {"at": time(each.at), "ok": each.ok, "status": each.status, "detail": each.detail, "answer": each.answer,
             "seconds": each.took}
            for each in one.tries
        ],
    }  # fmt: skip


async def _examine(context: Context, given: HookChange) -> None:
    """Raises Invalid: an address that would never be fetched."""
    given.check()
    if given.url is not None:
        problem = await context.fleet.hook_courier.examine(given.url)
        if problem is not None:
            raise Invalid.field("url", f"{problem[:1].upper()}{problem[1:]}.")


@router.get("", response_model=Page[WebhookShown], summary="List web hooks")
async def list_webhooks(context: Services, caller: WebhooksWrite, paging: List) -> Response:
    hooks, total = await run_in_threadpool(context.fleet.webhooks.list, caller.identity, paging.window(SORTABLE))
    return paging.answer([_view(hook) for hook in hooks], total, WebhookShown.model_fields)


@router.post(
    "", status_code=201, response_model=NewWebhookShown, summary="Create a web hook", description=ABOUT
)
async def create_webhook(request: Request, context: Services, caller: WebhooksWrite, new: WebhookGiven) -> Response:
    given = HookChange(new.url, tuple(new.events), new.secret, new.enabled)
    await _examine(context, given)
    hook = await run_in_threadpool(context.fleet.webhooks.create, caller.identity, given, once_of(request))
    return Json(_new_view(hook, shown=not new.secret), 201)


@router.get("/{webhook_id}", response_model=WebhookShown, summary="One web hook")
async def get_webhook(webhook_id: str, context: Services, caller: WebhooksWrite) -> Response:
    return Json(_view(await run_in_threadpool(context.fleet.webhooks.get, caller.identity, webhook_id)))


@router.patch("/{webhook_id}", response_model=NewWebhookShown, summary="Change a web hook")
async def change_webhook(
    webhook_id: str, context: Services, caller: WebhooksWrite, change: WebhookChange
) -> Response:
    """Switching it off gives up what was on its way; switched on again, it hears of what happens from then on."""
    events = None if change.events is None else tuple(change.events)
    given = HookChange(change.url, events, change.secret, change.enabled)
    await run_in_threadpool(context.fleet.webhooks.get, caller.identity, webhook_id)
    await _examine(context, given)
    hook = await run_in_threadpool(context.fleet.webhooks.change, caller.identity, webhook_id, given)
    return Json(_new_view(hook, shown=change.secret == ""))


@router.delete("/{webhook_id}", status_code=204, summary="Delete a web hook with its deliveries")
async def delete_webhook(webhook_id: str, context: Services, caller: WebhooksWrite) -> Response:
    await run_in_threadpool(context.fleet.webhooks.delete, caller.identity, webhook_id)
    return empty(204)


@router.post("/{webhook_id}/test", response_model=TestShown, summary="Send a test event at once")
async def try_webhook(webhook_id: str, context: Services, caller: WebhooksWrite) -> Response:
    """Sends the event `webhook.test` past queue and log, and tells what came back; one that is switched off too."""
    parcel = await run_in_threadpool(context.fleet.webhooks.test_parcel, caller.identity, webhook_id)
    context.fleet.hook_test_throttle.take(webhook_id)
    receipt = await context.fleet.hook_courier.carry(parcel)
    return Json({
        "event_id": parcel.uid, "delivered": receipt.ok, "status": receipt.status, "detail": receipt.detail,
        "answer": receipt.answer, "seconds": receipt.took,
    })  # fmt: skip


@router.get("/{webhook_id}/deliveries", response_model=Page[DeliveryShown], summary="Deliveries with every try")
async def list_deliveries(
    webhook_id: str, context: Services, caller: WebhooksWrite, paging: List,
    state: Annotated[State | None, Query()] = None,
    event: Annotated[
        str | None, Query(description="An event's name.", json_schema_extra={"enum": list(EVENTS)})
    ] = None,
) -> Response:  # fmt: skip
    """Newest first; kept for 30 days after their end."""
    if event is not None and event not in EVENTS:
        raise Invalid.field("event", f"{event!r} is none of: {', '.join(EVENTS)}.")
    found, total = await run_in_threadpool(
        context.fleet.webhooks.deliveries, caller.identity, webhook_id, paging.window(DELIVERIES_SORTABLE),
        DeliveryState(state) if state is not None else None, event,
    )  # fmt: skip
    return paging.answer([_delivery(one) for one in found], total, DeliveryShown.model_fields)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202, response_model=DeliveryShown,
    summary="Deliver once more",
)  # fmt: skip
async def redeliver(webhook_id: str, delivery_id: str, context: Services, caller: WebhooksWrite) -> Response:
    """It is queued as if it were new, with the same id and body, whatever came of it before."""
    one = await run_in_threadpool(context.fleet.webhooks.redeliver, caller.identity, webhook_id, delivery_id)
    return Json(_delivery(one), 202)
