"""Tables of jobs and their attempts. Lists are sorted and counted by index: 100,000 jobs are usual after a year."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Dialect, ForeignKey, Index, Integer, String, Text, TypeDecorator, text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.fleet.jobs.model import OPEN, AttemptState, JobState, Priority
from reference_server.store.tables import Base, Texts, Word


class Rank(TypeDecorator[Priority]):
    """A priority by its rank, so that it sorts."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Priority | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Priority | None:  # noqa: ARG002
        return None if value is None else Priority(value)


IS_OPEN = f"state IN ({', '.join(repr(state.value) for state in OPEN)})"
WAITS = "waiting > 0"
"""As text, in the indexes and in what asks for them: SQLite takes a partial index only where the same words stand, and
a parameter is none of them."""


class JobRow(Base):
    __tablename__ = "fleet_jobs"
    __table_args__ = (
        Index("ix_fleet_jobs_created", "organization_id", "created_at", "id"),
        Index("ix_fleet_jobs_updated", "organization_id", "updated_at", "id"),
        Index("ix_fleet_jobs_started", "organization_id", "started_at", "id"),
        Index("ix_fleet_jobs_completed", "organization_id", "completed_at", "id"),
        Index("ix_fleet_jobs_name", "organization_id", "name", "id"),
        Index("ix_fleet_jobs_priority", "organization_id", "priority", "id"),
        Index("ix_fleet_jobs_state", "organization_id", "state", "id"),
        Index("ix_fleet_jobs_state_created", "organization_id", "state", "created_at", "id"),
        Index("ix_fleet_jobs_state_priority", "organization_id", "state", "priority", "id"),
        Index("ix_fleet_jobs_wanted_printer_id", "wanted_printer_id"),
        Index(
            "ix_fleet_jobs_queue", "organization_id", "priority", "created_at", "id", sqlite_where=text(WAITS)
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    priority: Mapped[Priority] = mapped_column(Rank)
    state: Mapped[JobState] = mapped_column(Word(JobState))
    file_id: Mapped[int] = mapped_column(ForeignKey("g_code_files.id", ondelete="CASCADE"))
    copies: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    retries: Mapped[int]
    wanted_printer_id: Mapped[int | None] = mapped_column(ForeignKey("printers.id", ondelete="SET NULL"))
    model: Mapped[str | None] = mapped_column(String(100))
    group_id: Mapped[int | None] = mapped_column(Integer)  # fleet_groups.id; kept when the group goes: fits none then
    material: Mapped[str | None] = mapped_column(String(50))
    color: Mapped[str | None] = mapped_column(String(50))
    tags: Mapped[tuple[str, ...]] = mapped_column(Texts)
    printer_tags: Mapped[tuple[str, ...]] = mapped_column(Texts)
    waiting: Mapped[int]
    active: Mapped[int]
    completed: Mapped[int]
    failed: Mapped[int]
    cancelled: Mapped[int]
    printer_id: Mapped[int | None] = mapped_column(ForeignKey("printers.id", ondelete="SET NULL"))
    elapsed: Mapped[float]
    estimated_duration: Mapped[float | None]
    estimated_grams: Mapped[float | None]
    estimated_filament: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]


class AttemptRow(Base):
    __tablename__ = "fleet_attempts"
    __table_args__ = (
        Index("ix_fleet_attempts_job_id", "job_id"),
        Index("ix_fleet_attempts_printer_id", "printer_id", "job_id"),
        Index("ix_fleet_attempts_ended_at", "ended_at"),
        Index("uq_fleet_attempts_open", "printer_id", unique=True, sqlite_where=text(IS_OPEN)),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("fleet_jobs.id", ondelete="CASCADE"))
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    copy: Mapped[int]
    number: Mapped[int]
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    state: Mapped[AttemptState] = mapped_column(Word(AttemptState))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    by_order: Mapped[bool]
    requeued: Mapped[bool]
    missed: Mapped[bool]
    offered_at: Mapped[datetime | None]
    start_by: Mapped[datetime | None]
    permitted_at: Mapped[datetime | None]
    agent_clock: Mapped[float | None]
    print_id: Mapped[int | None] = mapped_column(ForeignKey("prints.id", ondelete="SET NULL"), unique=True)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    elapsed: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(Text)
