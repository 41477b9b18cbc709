"""Tables of the organization, its people and keys, groups, the farm's side of printers, events and kept answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.fleet.model import Role
from reference_server.store.tables import Base, Texts, Word


def _organization() -> Mapped[int]:
    return mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))


def _public_id() -> Mapped[str]:
    return mapped_column(String(20), unique=True)


class OrganizationRow(Base):
    __tablename__ = "organizations"
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = _public_id()
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    name: Mapped[str] = mapped_column(String(150))
    currency: Mapped[str] = mapped_column(String(3))
    timezone: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    electricity_cost_per_kwh: Mapped[float | None]
    machine_cost_per_hour: Mapped[float | None]
    average_power_watts: Mapped[float | None]


class MemberRow(Base):
    __tablename__ = "members"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    public_id: Mapped[str] = _public_id()
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    role: Mapped[Role] = mapped_column(Word(Role))
    created_at: Mapped[datetime]


class InvitationRow(Base):
    __tablename__ = "invitations"
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = _public_id()
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[Role] = mapped_column(Word(Role))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class FleetKeyRow(Base):
    __tablename__ = "fleet_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = _public_id()
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[tuple[str, ...]] = mapped_column(Texts)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class FleetGroupRow(Base):
    __tablename__ = "fleet_groups"
    __table_args__ = (UniqueConstraint("organization_id", "name_key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = _public_id()
    organization_id: Mapped[int] = _organization()
    name: Mapped[str] = mapped_column(String(100))
    name_key: Mapped[str] = mapped_column(String(200))  # case-folded
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class FleetPrinterRow(Base):
    __tablename__ = "fleet_printers"
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"), primary_key=True)
    public_id: Mapped[str] = _public_id()
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    updated_at: Mapped[datetime]
    model: Mapped[str] = mapped_column(String(100))
    location: Mapped[str] = mapped_column(String(200))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("fleet_groups.id", ondelete="SET NULL"), index=True)
    tags: Mapped[tuple[str, ...]] = mapped_column(Texts)
    bed_clear: Mapped[bool]
    auto_continue: Mapped[bool]
    told_online: Mapped[bool]


class FleetEventRow(Base):
    __tablename__ = "fleet_events"
    __table_args__ = ({"sqlite_autoincrement": True},)  # no id a second time: web hooks have a cursor
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = _public_id()
    organization_id: Mapped[int] = _organization()
    name: Mapped[str] = mapped_column(String(50))
    object_id: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(index=True)
    data: Mapped[Any] = mapped_column(JSON)


class FleetAnswerRow(Base):
    __tablename__ = "fleet_answers"
    __table_args__ = (
        UniqueConstraint("credential", "key"),
        Index("ix_fleet_answers_created_at", "created_at"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    credential: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(200))
    request_hash: Mapped[str] = mapped_column(String(64))
    object_id: Mapped[str] = mapped_column(String(20))
    status: Mapped[int]
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
