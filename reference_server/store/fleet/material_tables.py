"""The table of materials. What prints took of them is in print_tables.py."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.store.tables import Base


class MaterialRow(Base):
    __tablename__ = "fleet_materials"
    # One spool a tool; those in no printer have NULL there and may be many.
    __table_args__ = (UniqueConstraint("printer_id", "tool"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(20), unique=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)
    type: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    weighed_at: Mapped[datetime]
    brand: Mapped[str | None] = mapped_column(String(100))
    color: Mapped[str | None] = mapped_column(String(100))
    diameter: Mapped[float]
    density: Mapped[float | None]
    spool_weight: Mapped[float]
    remaining_weight: Mapped[float]
    cost_per_kg: Mapped[float | None]
    reorder_threshold: Mapped[float | None]
    printer_id: Mapped[int | None] = mapped_column(ForeignKey("printers.id", ondelete="SET NULL"))
    tool: Mapped[int]
    loaded_at: Mapped[datetime | None]
    low_told: Mapped[bool]
    empty_told: Mapped[bool]
    archived_at: Mapped[datetime | None]
