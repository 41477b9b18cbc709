"""More objects, as in objects.py: web hooks, the organization, people, keys, the audit log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reference_server.client.reading import Shown


@dataclass(frozen=True, kw_only=True)
class Webhook(Shown):
    """`failing_since`: the first failure after the last success; `disabled_at`: when the server switched it off."""

    id: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    created_at: datetime
    updated_at: datetime
    last_delivered_at: datetime | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewWebhook(Webhook):
    """`secret`: one that the server made, shown this once; it is in no repr."""

    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class DeliveryTry(Shown):
    """`status`: of the answer, None if there was none; `answer`: how it began."""

    at: datetime
    ok: bool
    status: int | None
    detail: str
    answer: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Delivery(Shown):
    """`state`: queued, delivered, failed. `event_id` is the same at every try."""

    id: str
    event_id: str
    event: str
    object_id: str
    state: str
    created_at: datetime
    next_try_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    tries: tuple[DeliveryTry, ...]


@dataclass(frozen=True, kw_only=True)
class WebhookTest(Shown):
    """What came back of a test event. `delivered`: the answer was 2xx."""

    event_id: str
    delivered: bool
    status: int | None
    detail: str
    answer: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Used(Shown):
    """`limit` None: no limit."""

    used: int
    limit: int | None


@dataclass(frozen=True, kw_only=True)
class Plan(Shown):
    """What the operator of the server allows."""

    printers: Used
    jobs_queued: Used
    users: Used


@dataclass(frozen=True, kw_only=True)
class Organization(Shown):
    """Costs in `currency` (ISO 4217); `timezone` as IANA writes it."""

    id: str
    name: str
    currency: str
    timezone: str
    electricity_cost_per_kwh: float | None
    machine_cost_per_hour: float | None
    average_power_watts: float | None
    plan: Plan
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class User(Shown):
    """`role`: owner, admin, operator, viewer."""

    id: str
    name: str
    email: str | None
    role: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Invitation(Shown):
    id: str
    email: str
    role: str
    invited_by: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewInvitation(Invitation):
    """`invite_url`: a link for one use, to hand on yourself; None when it was mailed. It is in no repr."""

    mailed: bool
    mail_error: str | None
    invite_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ApiKey(Shown):
    id: str
    name: str
    scopes: tuple[str, ...]
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NewApiKey(ApiKey):
    """`key` is shown this once; it is in no repr."""

    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AuditEntry(Shown):
    """`ok` False: it was refused."""

    id: int
    at: datetime
    user_name: str
    via: str
    address: str
    action: str
    subject: str
    ok: bool
