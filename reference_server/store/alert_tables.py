"""Tables of channels, wishes and deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.alerts.model import ChannelKind, QuietAction
from reference_server.services.deliveries import DeliveryState
from reference_server.store.tables import Base, Word


class ChannelRow(Base):
    __tablename__ = "alert_channels"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[ChannelKind] = mapped_column(Word(ChannelKind))
    name: Mapped[str] = mapped_column(String(100))
    enabled: Mapped[bool]
    target: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(200))
    template: Mapped[str | None] = mapped_column(Text)
    kinds: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(500))
    delivered_at: Mapped[datetime | None]


class AlertSettingsRow(Base):
    __tablename__ = "alert_settings"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    kinds: Mapped[Any] = mapped_column(JSON)
    quiet_from: Mapped[int | None]
    quiet_until: Mapped[int | None]
    zone: Mapped[str] = mapped_column(String(64))
    urgent_kinds: Mapped[Any] = mapped_column(JSON)
    quiet_action: Mapped[QuietAction] = mapped_column(Word(QuietAction))


class AlertCursorRow(Base):
    """Up to which notice deliveries have been made; one row."""

    __tablename__ = "alert_cursor"
    id: Mapped[int] = mapped_column(primary_key=True)
    notice_id: Mapped[int]


class DeliveryRow(Base):
    __tablename__ = "alert_deliveries"
    __table_args__ = (
        UniqueConstraint("channel_id", "notice_id"),
        Index("ix_alert_deliveries_state_due_at", "state", "due_at"),
        Index("ix_alert_deliveries_channel_id_lane", "channel_id", "lane", "state", "id"),
        Index("ix_alert_deliveries_user_id_id", "user_id", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    channel_id: Mapped[int] = mapped_column(ForeignKey("alert_channels.id", ondelete="CASCADE"))
    notice_id: Mapped[int] = mapped_column(ForeignKey("notices.id", ondelete="CASCADE"), index=True)
    lane: Mapped[str] = mapped_column(String(50))
    state: Mapped[DeliveryState] = mapped_column(Word(DeliveryState))
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    tries: Mapped[int]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(String(500))


class DeliveryTryRow(Base):
    __tablename__ = "alert_tries"
    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("alert_deliveries.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    ok: Mapped[bool]
    status: Mapped[int | None]
    detail: Mapped[str] = mapped_column(String(500))
    took: Mapped[float]


class FirstTargetRow(Base):
    """The target that a heater reached first in a print, °C (wire-protocol.md §5.6)."""

    __tablename__ = "first_heater_targets"
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), primary_key=True)
    heater: Mapped[str] = mapped_column(String(100), primary_key=True)
    target: Mapped[float]
