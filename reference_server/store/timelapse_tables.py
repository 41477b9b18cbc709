"""Table of the jobs that make videos of prints."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.timelapse.model import VideoState
from reference_server.store.tables import Base, Word


class VideoJobRow(Base):
    __tablename__ = "video_jobs"
    __table_args__ = (Index("ix_video_jobs_state_not_before", "state", "not_before"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), unique=True)
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    state: Mapped[VideoState] = mapped_column(Word(VideoState))
    wanted: Mapped[bool]
    created_at: Mapped[datetime]
    not_before: Mapped[datetime]
    flip_h: Mapped[bool]
    flip_v: Mapped[bool]
    rotation: Mapped[int]
    attempts: Mapped[int]
    error: Mapped[str | None] = mapped_column(String(1000))
    ended_at: Mapped[datetime | None]
