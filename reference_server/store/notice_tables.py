"""Tables of notices and their delivery."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.notices import NoticeKind
from reference_server.store.tables import Base, Word


class NoticeRow(Base):
    __tablename__ = "notices"
    __table_args__ = (Index("ix_notices_printer_id_kind", "printer_id", "kind", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    printer_id: Mapped[int | None] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    print_id: Mapped[int | None] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"))
    event_id: Mapped[int | None] = mapped_column(ForeignKey("printer_events.id", ondelete="SET NULL"))
    kind: Mapped[NoticeKind] = mapped_column(Word(NoticeKind))
    title: Mapped[str] = mapped_column(String(500))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    image_path: Mapped[str | None] = mapped_column(String(500))
    data: Mapped[dict[str, Any]]
