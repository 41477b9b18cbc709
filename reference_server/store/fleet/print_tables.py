"""The farm's side of ended prints: times as numbers, so that SQLite reckons with them in one pass over an index."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.fleet.print_model import PrintOutcome
from reference_server.store.tables import Base, Word


class FleetPrintRow(Base):
    __tablename__ = "fleet_prints"
    # Each has all that some figures sum up, in the order in which they are asked for: the rows themselves are never
    # read for them, and nothing is sorted. A print ends once; an index more costs nothing that anybody notices.
    __table_args__ = (
        Index(
            "ix_fleet_prints_ended", "user_id", "ended", "started", "outcome", "seconds", "grams", "cost", "printer_id"
        ),
        Index("ix_fleet_prints_started", "user_id", "started", "ended", "seconds", "printer_id"),
        Index(
            "ix_fleet_prints_printer", "user_id", "printer_id", "ended", "started", "outcome", "seconds", "grams",
            "cost",
        ),
        Index("ix_fleet_prints_material", "user_id", "material_id", "ended", "printer_id", "grams", "cost", "mm"),
        Index("ix_fleet_prints_failed", "user_id", "ended", "printer_id", sqlite_where=text("outcome = 'failed'")),
    )
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"))
    started: Mapped[float]
    ended: Mapped[float]
    seconds: Mapped[float]
    outcome: Mapped[PrintOutcome] = mapped_column(Word(PrintOutcome))
    noted_at: Mapped[datetime]
    mm: Mapped[float | None]
    grams: Mapped[float]
    cost: Mapped[float]
    taken: Mapped[float]
    material_id: Mapped[int | None] = mapped_column(ForeignKey("fleet_materials.id", ondelete="SET NULL"), index=True)
