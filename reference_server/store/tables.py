"""The tables. Column names are those of services.model, so that rows and entities map one to one (mapping.py)."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum as PyEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from reference_server.services.model import (
    ActionOnFailure,
    AlertOverwrite,
    EndedReason,
    EventClass,
    EventKind,
    Scope,
    Scopes,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python, without a zone in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=timezone.utc)


class Word(TypeDecorator[PyEnum]):
    """An enum by its value."""

    impl = String(32)
    cache_ok = True

    def __init__(self, vocabulary: type[PyEnum]) -> None:
        super().__init__(32)
        self.vocabulary = vocabulary

    def process_bind_param(self, value: PyEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> PyEnum | None:  # noqa: ARG002
        return None if value is None else self.vocabulary(value)


class ScopeWords(TypeDecorator[Scopes]):
    """Scopes, in the order of the enum, with spaces between."""

    impl = String(100)
    cache_ok = True

    def process_bind_param(self, value: Scopes | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else " ".join(scope.value for scope in Scope if scope in value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Scopes | None:  # noqa: ARG002
        return None if value is None else tuple(scope for scope in Scope if scope.value in value.split())


class Texts(TypeDecorator[tuple[str, ...]]):
    """Some texts, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> list[str]:  # noqa: ARG002
        return list(value or ())

    def process_result_value(self, value: list[str] | None, dialect: Dialect) -> tuple[str, ...]:  # noqa: ARG002
        return tuple(value or ())


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, dict[str, Any]: JSON}


def _user() -> Mapped[int]:
    return mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class UserRow(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(150))
    name_key: Mapped[str] = mapped_column(String(300), unique=True)  # case-folded, for looking up
    email: Mapped[str] = mapped_column(String(254), default="")
    email_key: Mapped[str | None] = mapped_column(String(300), unique=True)
    password_hash: Mapped[str] = mapped_column(String(300))
    is_owner: Mapped[bool]
    created_at: Mapped[datetime]
    consented_at: Mapped[datetime | None]
    dh_balance: Mapped[float | None]
    unseen_printer_events: Mapped[int] = mapped_column(default=0)


class SessionRow(Base):
    __tablename__ = "sessions"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    refreshed_at: Mapped[datetime]
    created_at: Mapped[datetime]
    address: Mapped[str] = mapped_column(String(64), server_default="")
    client: Mapped[str] = mapped_column(String(300), server_default="")


class ApiKeyRow(Base):
    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = _user()
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    scopes: Mapped[Scopes] = mapped_column(ScopeWords(), server_default="read control write admin")
    expires_at: Mapped[datetime | None]


class PrinterRow(Base):
    __tablename__ = "printers"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    auth_token: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    action_on_failure: Mapped[ActionOnFailure] = mapped_column(Word(ActionOnFailure))
    watching_enabled: Mapped[bool]
    tools_off_on_pause: Mapped[bool]
    bed_off_on_pause: Mapped[bool]
    retract_on_pause: Mapped[float]
    lift_z_on_pause: Mapped[float]
    detective_sensitivity: Mapped[float]
    min_timelapse_secs_on_finish: Mapped[int]
    min_timelapse_secs_on_cancel: Mapped[int]
    agent_name: Mapped[str | None] = mapped_column(String(100))
    agent_version: Mapped[str | None] = mapped_column(String(100))
    settings: Mapped[dict[str, Any]]
    # The other half of a ring of keys (prints.printer_id): no constraint here, the service keeps it right.
    current_print_id: Mapped[int | None] = mapped_column(Integer)
    detection_warmup_secs: Mapped[int] = mapped_column(server_default="0")
    detection_snooze_secs: Mapped[int] = mapped_column(server_default="0")


class PrintRow(Base):
    __tablename__ = "prints"
    __table_args__ = (
        UniqueConstraint("printer_id", "ext_id"),
        Index("ix_prints_user_id_started_at", "user_id", "started_at", "id"),
        Index("ix_prints_g_code_file_id", "g_code_file_id", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = _user()
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    ext_id: Mapped[int] = mapped_column(BigInteger)
    filename: Mapped[str] = mapped_column(String(1000))
    started_at: Mapped[datetime]
    g_code_file_id: Mapped[int | None] = mapped_column(ForeignKey("g_code_files.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    ended_reason: Mapped[EndedReason | None] = mapped_column(Word(EndedReason))
    error_text: Mapped[str | None] = mapped_column(String(1000))
    uploaded_at: Mapped[datetime | None]
    alerted_at: Mapped[datetime | None]
    alert_acknowledged_at: Mapped[datetime | None]
    alert_muted_at: Mapped[datetime | None]
    alert_overwrite: Mapped[AlertOverwrite | None] = mapped_column(Word(AlertOverwrite))
    paused_at: Mapped[datetime | None]
    filament_used: Mapped[float | None]
    print_time: Mapped[float | None]
    access_consented_at: Mapped[datetime | None]
    video_archived_at: Mapped[datetime | None]
    video_path: Mapped[str | None] = mapped_column(String(500))
    tagged_video_path: Mapped[str | None] = mapped_column(String(500))
    poster_path: Mapped[str | None] = mapped_column(String(500))
    deleted_at: Mapped[datetime | None]


class PrinterEventRow(Base):
    __tablename__ = "printer_events"
    __table_args__ = (Index("ix_printer_events_user_id_id", "user_id", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = _user()
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"), index=True)
    print_id: Mapped[int | None] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), index=True)
    event_type: Mapped[EventKind] = mapped_column(Word(EventKind))
    event_class: Mapped[EventClass] = mapped_column(Word(EventClass))
    event_title: Mapped[str | None] = mapped_column(String(500))
    event_text: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    image_path: Mapped[str | None] = mapped_column(String(500))
    info_url: Mapped[str | None] = mapped_column(String(2000))


class AppliedEventRow(Base):
    """Ids of agents' events that took effect: an event that is sent again takes none."""

    __tablename__ = "applied_events"
    __table_args__ = (UniqueConstraint("printer_id", "event_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class KeptAnswerRow(Base):
    """Answers to requests with an Idempotency-Key."""

    __tablename__ = "kept_answers"
    __table_args__ = (UniqueConstraint("printer_id", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(200))
    answer: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class GCodeFileRow(Base):
    __tablename__ = "g_code_files"
    __table_args__ = (Index("ix_g_code_files_user_id_agent_signature", "user_id", "agent_signature"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = _user()
    resident_printer_id: Mapped[int | None] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    filename: Mapped[str] = mapped_column(String(1000))
    safe_filename: Mapped[str] = mapped_column(String(1000))
    agent_signature: Mapped[str] = mapped_column(String(256))
    url: Mapped[str | None] = mapped_column(String(2000))
    num_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    filament_total: Mapped[float | None]
    estimated_time: Mapped[float | None]
    deleted_at: Mapped[datetime | None]
    parent_folder_id: Mapped[int | None] = mapped_column(Integer)  # g_code_folders.id; the service keeps it right
    media_path: Mapped[str | None] = mapped_column(String(500))
    sha256: Mapped[str | None] = mapped_column(String(64))
    details: Mapped[dict[str, Any] | None]
    thumbnails: Mapped[tuple[str, ...]] = mapped_column(Texts)


class VerificationCodeRow(Base):
    __tablename__ = "verification_codes"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = _user()
    printer_id: Mapped[int | None] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    code: Mapped[str] = mapped_column(String(6), index=True)
    created_at: Mapped[datetime]
    expired_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
