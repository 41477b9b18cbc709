"""Web hooks of `/v1` as the OpenAPI document shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from reference_server.api.fleet.schemas import Given, Shown
from reference_server.services.fleet.hooks.model import PATTERNS

_EVENTS = f"Any of: {', '.join(f'`{name}`' for name in PATTERNS)}."
_SIGNED = "What deliveries are signed with, 16 to 200 plain characters."

Pattern = Annotated[str, Field(json_schema_extra={"enum": list(PATTERNS)})]

State = Literal["queued", "delivered", "failed"]


class WebhookShown(Shown):
    id: Annotated[str, Field(examples=["whk_abcdefgh2345"])]
    url: str
    events: Annotated[list[str], Field(description=_EVENTS)]
    enabled: bool
    created_at: datetime
    updated_at: datetime
    last_delivered_at: datetime | None
    failing_since: Annotated[datetime | None, Field(description="The first failure after the last success.")]
    disabled_at: Annotated[
        datetime | None, Field(description="When the server switched it off, after 3 days of nothing but failures.")
    ]
    disabled_reason: str | None


class NewWebhookShown(WebhookShown):
    secret: Annotated[str | None, Field(description="One that was made by the server, shown this once; else null.")]


class WebhookGiven(Given):
    url: Annotated[str, Field(min_length=1, max_length=2000, examples=["https://your-app.example/webhook"])]
    events: Annotated[list[Pattern], Field(min_length=1, max_length=50, description=_EVENTS, examples=[["job.*"]])]
    secret: Annotated[
        str | None, Field(max_length=200, description=f"{_SIGNED} Without one the server makes one.")
    ] = None
    enabled: bool = True


class WebhookChange(Given):
    """What is not given stays as it is."""

    url: Annotated[str | None, Field(min_length=1, max_length=2000)] = None
    events: Annotated[list[Pattern] | None, Field(min_length=1, max_length=50, description=_EVENTS)] = None
    secret: Annotated[
        str | None, Field(max_length=200, description=f"{_SIGNED} An empty text: the server makes a new one.")
    ] = None
    enabled: bool | None = None


class TryShown(Shown):
    at: datetime
    ok: bool
    status: Annotated[int | None, Field(description="Of the answer; null: there was none.")]
    detail: Annotated[str, Field(description="In words.")]
    answer: Annotated[str, Field(description="How the answer began.")]
    seconds: float


class DeliveryShown(Shown):
    id: Annotated[str, Field(examples=["dlv_abcdefgh2345"])]
    event_id: Annotated[str, Field(description="`id` of the body and `X-Webhook-Id`, the same at every try.")]
    event: str
    object_id: Annotated[str, Field(description="What it is about; of one object the oldest is delivered first.")]
    state: State
    created_at: datetime
    next_try_at: Annotated[
        datetime | None, Field(description="While it is queued; it may wait for an older one of the same object.")
    ]
    ended_at: datetime | None
    reason: Annotated[str | None, Field(description="Why it has failed, or has not yet arrived.")]
    tries: list[TryShown]


class TestShown(Shown):
    event_id: str
    delivered: Annotated[bool, Field(description="The answer was 2xx.")]
    status: int | None
    detail: str
    answer: Annotated[str, Field(description="How the answer began.")]
    seconds: float
