"""Notices and their delivery."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from reference_server.services.notices import Notice
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

    def after(self, notice_id: int, limit: int) -> Sequence[Notice]:
        query = select(NoticeRow).where(NoticeRow.id > notice_id).order_by(NoticeRow.id).limit(limit)
        return [to_entity(row, Notice) for row in self._session.scalars(query)]
