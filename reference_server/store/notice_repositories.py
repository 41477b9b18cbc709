"""Notices and their delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from reference_server.services.deliveries import DeliveryState
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import NoticeQuery
from reference_server.store.alert_tables import DeliveryRow
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.notice_tables import NoticeRow


class SqlNotices:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, notice: Notice) -> Notice:
        row = NoticeRow()
        copy_to(row, notice)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Notice)

    def get(self, notice_id: int) -> Notice | None:
        row = self._session.get(NoticeRow, notice_id)
        return to_entity(row, Notice) if row is not None else None

    def after(self, notice_id: int, limit: int) -> Sequence[Notice]:
        query = select(NoticeRow).where(NoticeRow.id > notice_id).order_by(NoticeRow.id).limit(limit)
        return [to_entity(row, Notice) for row in self._session.scalars(query)]

    def newest_id(self) -> int:
        return self._session.scalar(select(func.max(NoticeRow.id))) or 0

    def latest(self, printer_id: int, kinds: Sequence[NoticeKind], limit: int) -> Sequence[Notice]:
        query = (
            select(NoticeRow).where(NoticeRow.printer_id == printer_id, NoticeRow.kind.in_(kinds))
            .order_by(NoticeRow.id.desc()).limit(limit)
        )  # fmt: skip
        return [to_entity(row, Notice) for row in self._session.scalars(query)]

    def last_of_each(self, kinds: Sequence[NoticeKind]) -> Sequence[Notice]:
        newest = select(func.max(NoticeRow.id)).where(NoticeRow.kind.in_(kinds)).group_by(NoticeRow.printer_id)
        query = select(NoticeRow).where(NoticeRow.id.in_(newest)).order_by(NoticeRow.id)
        return [to_entity(row, Notice) for row in self._session.scalars(query)]

    def find(self, query: NoticeQuery) -> tuple[Sequence[Notice], int]:
        wanted = select(NoticeRow).where(NoticeRow.user_id == query.user_id)
        if query.kinds is not None:
            wanted = wanted.where(NoticeRow.kind.in_(query.kinds))
        if query.printer_id is not None:
            wanted = wanted.where(NoticeRow.printer_id == query.printer_id)
        if query.print_id is not None:
            wanted = wanted.where(NoticeRow.print_id == query.print_id)
        total = self._session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        page = wanted.order_by(NoticeRow.id.desc()).offset(query.start).limit(query.limit)
        return [to_entity(row, Notice) for row in self._session.scalars(page)], total

    def remove_older(self, before: datetime) -> None:
        on_its_way = exists().where(DeliveryRow.notice_id == NoticeRow.id, DeliveryRow.state == DeliveryState.QUEUED)
        # The newest stays: SQLite would give its id a second time.
        newest = select(func.max(NoticeRow.id)).scalar_subquery()
        self._session.execute(
            delete(NoticeRow).where(NoticeRow.created_at < before, NoticeRow.id < newest, ~on_its_way)
        )
