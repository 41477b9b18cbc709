"""Channels, wishes and deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from reference_server.services.alerts.model import (
    AlertSettings,
    Channel,
    Delivery,
    DeliveryTry,
)
from reference_server.services.deliveries import DeliveryState
from reference_server.services.notices import NoticeKind
from reference_server.services.ports import DeliveryQuery
from reference_server.store.alert_tables import (
    AlertCursorRow,
    AlertSettingsRow,
    ChannelRow,
    DeliveryRow,
    DeliveryTryRow,
    FirstTargetRow,
)
from reference_server.store.mapping import copy_to, to_entity


def _kinds(words: Any) -> tuple[NoticeKind, ...]:
    known = {kind.value for kind in NoticeKind}  # a kind of a newer version is passed over
    return tuple(NoticeKind(word) for word in words if word in known)


def _words(kinds: Sequence[NoticeKind]) -> list[str]:
    return [kind.value for kind in kinds]


def _channel(row: ChannelRow) -> Channel:
    found = to_entity(row, Channel)
    return found if found.kinds is None else replace(found, kinds=_kinds(found.kinds))


class SqlAlerts:
    def __init__(self, session: Session) -> None:
        self._session = session

    # --- channels and wishes -------------------------------------------------------------------------------------

    def channel(self, channel_id: int) -> Channel | None:
        row = self._session.get(ChannelRow, channel_id)
        return _channel(row) if row is not None else None

    def channels_of(self, user_id: int) -> Sequence[Channel]:
        query = select(ChannelRow).where(ChannelRow.user_id == user_id).order_by(ChannelRow.id)
        return [_channel(row) for row in self._session.scalars(query)]

    def add_channel(self, channel: Channel) -> Channel:
        row = ChannelRow()
        self._write_channel(row, channel)
        self._session.add(row)
        self._session.flush()
        return _channel(row)

    def save_channel(self, channel: Channel) -> None:
        if (row := self._session.get(ChannelRow, channel.id)) is not None:
            self._write_channel(row, channel)
            self._session.flush()

    @staticmethod
    def _write_channel(row: ChannelRow, channel: Channel) -> None:
        copy_to(row, channel)
        row.kinds = None if channel.kinds is None else _words(channel.kinds)

    def remove_channel(self, channel_id: int) -> None:
        self._session.execute(delete(ChannelRow).where(ChannelRow.id == channel_id))

    def settings(self, user_id: int) -> AlertSettings:
        row = self._session.get(AlertSettingsRow, user_id)
        if row is None:
            return AlertSettings(user_id)
        found = to_entity(row, AlertSettings)
        return replace(found, kinds=_kinds(found.kinds), urgent_kinds=_kinds(found.urgent_kinds))

    def save_settings(self, settings: AlertSettings) -> None:
        row = self._session.get(AlertSettingsRow, settings.user_id)
        if row is None:
            row = AlertSettingsRow()
            self._session.add(row)
        copy_to(row, settings)
        row.kinds, row.urgent_kinds = _words(settings.kinds), _words(settings.urgent_kinds)
        self._session.flush()

    # --- the queue -----------------------------------------------------------------------------------------------

    def cursor(self) -> int:
        row = self._session.get(AlertCursorRow, 1)
        return row.notice_id if row is not None else 0

    def move_cursor(self, notice_id: int) -> None:
        self._session.merge(AlertCursorRow(id=1, notice_id=notice_id))
        self._session.flush()

    def add_delivery(self, delivery: Delivery) -> Delivery:
        row = DeliveryRow()
        copy_to(row, delivery)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Delivery)

    def delivery(self, delivery_id: int) -> Delivery | None:
        row = self._session.get(DeliveryRow, delivery_id)
        return to_entity(row, Delivery) if row is not None else None

    def save_delivery(self, delivery: Delivery) -> None:
        if (row := self._session.get(DeliveryRow, delivery.id)) is not None:
            copy_to(row, delivery)
            self._session.flush()

    def queued(self, channel_id: int) -> int:
        query = select(func.count()).where(
            DeliveryRow.channel_id == channel_id, DeliveryRow.state == DeliveryState.QUEUED
        )
        return self._session.scalar(query) or 0

    def due(self, now: datetime, limit: int, without: Sequence[int]) -> Sequence[Delivery]:
        older = aliased(DeliveryRow)
        waits = exists().where(
            older.channel_id == DeliveryRow.channel_id, older.lane == DeliveryRow.lane,
            older.state == DeliveryState.QUEUED, older.id < DeliveryRow.id,
        )  # fmt: skip
        query = (
            select(DeliveryRow)
            .where(DeliveryRow.state == DeliveryState.QUEUED, DeliveryRow.due_at <= now, ~waits)
            .where(DeliveryRow.channel_id.not_in(without))
            .order_by(DeliveryRow.due_at, DeliveryRow.id).limit(limit)
        )  # fmt: skip
        return [to_entity(row, Delivery) for row in self._session.scalars(query)]

    def give_up(self, channel_id: int, reason: str, now: datetime) -> None:
        self._session.execute(
            update(DeliveryRow)
            .where(DeliveryRow.channel_id == channel_id, DeliveryRow.state == DeliveryState.QUEUED)
            .values(state=DeliveryState.FAILED, reason=reason, ended_at=now)
        )

    def add_try(self, attempt: DeliveryTry) -> None:
        row = DeliveryTryRow()
        copy_to(row, attempt)
        self._session.add(row)
        self._session.flush()

    def tries(self, delivery_ids: Sequence[int]) -> Sequence[DeliveryTry]:
        query = select(DeliveryTryRow).where(DeliveryTryRow.delivery_id.in_(delivery_ids)).order_by(DeliveryTryRow.id)
        return [to_entity(row, DeliveryTry) for row in self._session.scalars(query)]

    def find(self, query: DeliveryQuery) -> tuple[Sequence[Delivery], int]:
        wanted = select(DeliveryRow).where(DeliveryRow.user_id == query.user_id)
        if query.channel_id is not None:
            wanted = wanted.where(DeliveryRow.channel_id == query.channel_id)
        if query.notice_id is not None:
            wanted = wanted.where(DeliveryRow.notice_id == query.notice_id)
        total = self._session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        page = wanted.order_by(DeliveryRow.id.desc()).offset(query.start).limit(query.limit)
        return [to_entity(row, Delivery) for row in self._session.scalars(page)], total

    def remove_ended(self, before: datetime) -> None:
        self._session.execute(
            delete(DeliveryRow).where(DeliveryRow.state != DeliveryState.QUEUED, DeliveryRow.ended_at < before)
        )

    # --- heaters -------------------------------------------------------------------------------------------------

    def first_target(self, print_id: int, heater: str) -> float | None:
        row = self._session.get(FirstTargetRow, (print_id, heater))
        return row.target if row is not None else None

    def set_first_target(self, print_id: int, heater: str, target: float) -> None:
        self._session.merge(FirstTargetRow(print_id=print_id, heater=heater, target=target))
        self._session.flush()
