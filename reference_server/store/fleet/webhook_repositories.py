"""Web hooks and their deliveries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from reference_server.services.deliveries import DeliveryState
from reference_server.services.fleet.hooks.model import HookDelivery, HookTry, Webhook
from reference_server.services.fleet.hooks.ports import HookDeliveryQuery
from reference_server.services.fleet.model import FleetEvent
from reference_server.services.fleet.ports import Window
from reference_server.store.fleet.pages import page
from reference_server.store.fleet.tables import FleetEventRow
from reference_server.store.fleet.webhook_tables import HookCursorRow, HookDeliveryRow, HookTryRow, WebhookRow
from reference_server.store.mapping import copy_to, to_entity

_CURSOR = 1
_QUEUED = HookDeliveryRow.state == DeliveryState.QUEUED


def _due(now: datetime, set_back: datetime) -> ColumnElement[bool]:
    return and_(_QUEUED, or_(HookDeliveryRow.due_at <= now, HookDeliveryRow.noted_at > set_back))


class SqlHooks:
    """services.fleet.hooks.ports.HookRows."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, webhook_id: int) -> Webhook | None:
        row = self._session.get(WebhookRow, webhook_id)
        return to_entity(row, Webhook) if row is not None else None

    def by_public_id(self, public_id: str) -> Webhook | None:
        row = self._session.scalars(select(WebhookRow).where(WebhookRow.public_id == public_id)).first()
        return to_entity(row, Webhook) if row is not None else None

    def list(self, organization_id: int, window: Window) -> tuple[Sequence[Webhook], int]:
        table = WebhookRow
        columns = {"created_at": table.created_at, "updated_at": table.updated_at, "url": table.url}
        query = select(table).where(table.organization_id == organization_id)
        rows, total = page(self._session, query, window, columns, table.id)
        return [to_entity(row, Webhook) for row in rows], total

    def listening(self, organization_ids: Collection[int]) -> Sequence[Webhook]:
        query = select(WebhookRow).where(WebhookRow.organization_id.in_(organization_ids), WebhookRow.enabled)
        return [to_entity(row, Webhook) for row in self._session.scalars(query.order_by(WebhookRow.id))]

    def add(self, hook: Webhook) -> Webhook:
        row = WebhookRow()
        copy_to(row, hook)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Webhook)

    def save(self, hook: Webhook) -> None:
        if (row := self._session.get(WebhookRow, hook.id)) is not None:
            copy_to(row, hook)
            self._session.flush()

    def remove(self, webhook_id: int) -> None:
        self._session.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))

    # --- the queue -----------------------------------------------------------------------------------------------

    def cursor(self) -> int:
        row = self._session.get(HookCursorRow, _CURSOR)
        return row.event_id if row is not None else 0

    def move_cursor(self, event_id: int) -> None:
        self._session.merge(HookCursorRow(id=_CURSOR, event_id=event_id))
        self._session.flush()

    def add_deliveries(self, deliveries: Sequence[HookDelivery]) -> None:
        values = [asdict(delivery) for delivery in deliveries]
        for value in values:
            del value["id"]
        if values:
            self._session.execute(insert(HookDeliveryRow), values)

    def delivery(self, delivery_id: int) -> HookDelivery | None:
        row = self._session.get(HookDeliveryRow, delivery_id)
        return to_entity(row, HookDelivery) if row is not None else None

    def delivery_named(self, public_id: str) -> HookDelivery | None:
        row = self._session.scalars(select(HookDeliveryRow).where(HookDeliveryRow.public_id == public_id)).first()
        return to_entity(row, HookDelivery) if row is not None else None

    def save_delivery(self, delivery: HookDelivery) -> None:
        if (row := self._session.get(HookDeliveryRow, delivery.id)) is not None:
            copy_to(row, delivery)
            self._session.flush()

    def queued(self, webhook_id: int) -> int:
        query = select(func.count()).select_from(HookDeliveryRow).where(
            HookDeliveryRow.webhook_id == webhook_id, _QUEUED
        )  # fmt: skip
        return self._session.scalar(query) or 0

    def waiting(self, now: datetime, set_back: datetime) -> Sequence[Webhook]:
        first = (
            select(func.min(HookDeliveryRow.due_at))
            .where(HookDeliveryRow.webhook_id == WebhookRow.id, _due(now, set_back)).correlate(WebhookRow)
            .scalar_subquery()
        )  # fmt: skip
        query = select(WebhookRow).where(WebhookRow.enabled, first.is_not(None)).order_by(first, WebhookRow.id)
        return [to_entity(row, Webhook) for row in self._session.scalars(query)]

    def due(
        self, webhook_id: int, now: datetime, set_back: datetime, limit: int, without: Collection[int]
    ) -> Sequence[tuple[HookDelivery, FleetEvent]]:
        older = aliased(HookDeliveryRow)
        waits = exists().where(
            older.webhook_id == HookDeliveryRow.webhook_id, older.lane == HookDeliveryRow.lane,
            older.state == DeliveryState.QUEUED, older.id < HookDeliveryRow.id,
        )  # fmt: skip
        query = (
            select(HookDeliveryRow, FleetEventRow)
            .join(FleetEventRow, FleetEventRow.id == HookDeliveryRow.event_id)
            .where(HookDeliveryRow.webhook_id == webhook_id, _due(now, set_back), ~waits)
            .where(HookDeliveryRow.id.not_in(without))
            .order_by(HookDeliveryRow.due_at, HookDeliveryRow.id).limit(limit)
        )  # fmt: skip
        return [
            (to_entity(delivery, HookDelivery), to_entity(event, FleetEvent))
            for delivery, event in self._session.execute(query)
        ]

    def give_up(self, webhook_id: int, reason: str, now: datetime) -> None:
        self._session.execute(
            update(HookDeliveryRow).where(HookDeliveryRow.webhook_id == webhook_id, _QUEUED)
            .values(state=DeliveryState.FAILED, reason=reason, ended_at=now)
        )  # fmt: skip

    def add_try(self, attempt: HookTry) -> None:
        row = HookTryRow()
        copy_to(row, attempt)
        self._session.add(row)
        self._session.flush()

    def tries(self, delivery_ids: Sequence[int]) -> Sequence[HookTry]:
        query = select(HookTryRow).where(HookTryRow.delivery_id.in_(delivery_ids)).order_by(HookTryRow.id)
        return [to_entity(row, HookTry) for row in self._session.scalars(query)]

    def find(
        self, query: HookDeliveryQuery, window: Window
    ) -> tuple[Sequence[tuple[HookDelivery, FleetEvent]], int]:
        table = HookDeliveryRow
        wanted = select(table).where(table.webhook_id == query.webhook_id)
        if query.state is not None:
            wanted = wanted.where(table.state == query.state)
        if query.event is not None:
            wanted = wanted.join(FleetEventRow, FleetEventRow.id == table.event_id).where(
                FleetEventRow.name == query.event
            )
        if query.delivery_id is not None:
            wanted = wanted.where(table.id == query.delivery_id)
        # Ids rise with the time of making.
        rows, total = page(self._session, wanted, window, {"created_at": table.id}, table.id)
        found = select(FleetEventRow).where(FleetEventRow.id.in_([row.event_id for row in rows]))
        events = {event.id: to_entity(event, FleetEvent) for event in self._session.scalars(found)}
        return [(to_entity(row, HookDelivery), events[row.event_id]) for row in rows], total

    # --- what goes in the end ------------------------------------------------------------------------------------

    def remove_ended(self, before: datetime, limit: int) -> int:
        old = select(HookDeliveryRow.id).where(HookDeliveryRow.ended_at < before).limit(limit)
        ids = self._session.scalars(old).all()
        self._session.execute(delete(HookDeliveryRow).where(HookDeliveryRow.id.in_(ids)))
        return len(ids)

    def remove_events(self, before: datetime, most: int, limit: int) -> int:
        newest = self._session.scalar(select(func.max(FleetEventRow.id))) or 0
        waited_for = exists().where(HookDeliveryRow.event_id == FleetEventRow.id, _QUEUED)
        old = (
            select(FleetEventRow.id)
            .where(or_(FleetEventRow.created_at < before, FleetEventRow.id <= newest - most))
            .where(FleetEventRow.id <= self.cursor(), ~waited_for).limit(limit)
        )  # fmt: skip
        ids = self._session.scalars(old).all()
        self._session.execute(delete(FleetEventRow).where(FleetEventRow.id.in_(ids)))
        return len(ids)
