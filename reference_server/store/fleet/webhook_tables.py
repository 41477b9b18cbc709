"""Tables of web hooks and their deliveries."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.deliveries import DeliveryState
from reference_server.store.tables import Base, Texts, Word


class HookCursorRow(Base):
    """Up to which event deliveries have been made; one row."""

    __tablename__ = "fleet_hook_cursor"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int]


class WebhookRow(Base):
    __tablename__ = "fleet_webhooks"
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(String(2000))
    events: Mapped[tuple[str, ...]] = mapped_column(Texts)
    secret: Mapped[str] = mapped_column(String(200))
    enabled: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    since_event: Mapped[int]
    failing_since: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    failing_for: Mapped[float]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(500))
    last_delivered_at: Mapped[datetime | None]


class HookDeliveryRow(Base):
    __tablename__ = "fleet_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id"),
        Index("ix_fleet_deliveries_webhook_id_state_due_at", "webhook_id", "state", "due_at"),
        Index("ix_fleet_deliveries_webhook_id_lane", "webhook_id", "lane", "state", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("fleet_webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(ForeignKey("fleet_events.id", ondelete="CASCADE"), index=True)
    lane: Mapped[str] = mapped_column(String(20))
    state: Mapped[DeliveryState] = mapped_column(Word(DeliveryState))
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    noted_at: Mapped[datetime]
    tries: Mapped[int]
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(String(500))


class HookTryRow(Base):
    __tablename__ = "fleet_delivery_tries"
    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("fleet_deliveries.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    ok: Mapped[bool]
    status: Mapped[int | None]
    detail: Mapped[str] = mapped_column(String(500))
    answer: Mapped[str] = mapped_column(String(500))
    took: Mapped[float]
