"""Tables of failure detection: scores, frame by frame predictions, decisions, shots for feedback."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.services.detection.model import Action, Answer, Sent
from reference_server.services.detection.scoring import Level
from reference_server.store.tables import Base, Word


class DetectionPrinterRow(Base):
    __tablename__ = "detection_printers"
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"), primary_key=True)
    lifetime: Mapped[int]
    long: Mapped[float]
    masks: Mapped[list[Any]] = mapped_column(JSON)


class DetectionPrintRow(Base):
    __tablename__ = "detection_prints"
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), primary_key=True)
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"), index=True)
    cameras: Mapped[dict[str, Any]]
    frames: Mapped[int]
    normalized_p: Mapped[float]
    judged_at: Mapped[datetime | None]
    acted_at: Mapped[datetime | None]
    trouble: Mapped[str | None] = mapped_column(String(1000))
    stage: Mapped[int] = mapped_column(Integer, index=True)
    # The predictions of a print that is over: gzip of the JSON that clients get.
    packed: Mapped[bytes | None] = mapped_column(LargeBinary)


class PredictionRow(Base):
    """Of a print that goes on."""

    __tablename__ = "detection_predictions"
    id: Mapped[int] = mapped_column(primary_key=True)
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), index=True)
    camera: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime]
    n: Mapped[int]
    lifetime: Mapped[int]
    p: Mapped[float]
    ewm: Mapped[float]
    short: Mapped[float]
    long: Mapped[float]
    normalized_p: Mapped[float]
    boxes: Mapped[list[Any]] = mapped_column(JSON)
    findings: Mapped[list[Any]] = mapped_column(JSON)


class DecisionRow(Base):
    __tablename__ = "detection_decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"), index=True)
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    camera: Mapped[str] = mapped_column(String(200))
    frame: Mapped[int]
    level: Mapped[Level] = mapped_column(Word(Level))
    action: Mapped[Action] = mapped_column(Word(Action))
    cause: Mapped[str] = mapped_column(String(32))
    rule: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    scores: Mapped[dict[str, Any]]
    normalized_p: Mapped[float]
    sensitivity: Mapped[float]
    detector: Mapped[str] = mapped_column(String(200))
    findings: Mapped[list[Any]] = mapped_column(JSON)
    frames: Mapped[list[Any]] = mapped_column(JSON)
    image_path: Mapped[str | None] = mapped_column(String(500))
    sent: Mapped[Sent] = mapped_column(Word(Sent))
    outcome: Mapped[str | None] = mapped_column(Text)


class ShotRow(Base):
    __tablename__ = "print_shots"
    id: Mapped[int] = mapped_column(primary_key=True)
    print_id: Mapped[int] = mapped_column(ForeignKey("prints.id", ondelete="CASCADE"), index=True)
    image_path: Mapped[str] = mapped_column(String(500))
    p: Mapped[float]
    at: Mapped[datetime]
    chosen: Mapped[bool]
    answer: Mapped[Answer | None] = mapped_column(Word(Answer))
    answered_at: Mapped[datetime | None]
