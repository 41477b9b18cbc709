"""Detection's rows: services.detection.rows.DetectionRows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from reference_server.services.detection.model import (
    CameraScores,
    Decision,
    Prediction,
    PrinterState,
    PrintState,
    Sent,
    Shot,
    Stage,
)
from reference_server.services.detection.port import Box, Mask
from reference_server.services.detection.scoring import Scores
from reference_server.services.model import EventKind
from reference_server.store.detection_tables import (
    DecisionRow,
    DetectionPrinterRow,
    DetectionPrintRow,
    PredictionRow,
    ShotRow,
)
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tables import PrinterEventRow, PrintRow

PREDICTIONS_KEPT = 60_480
"""Of a print that goes on: a week at one each 10 s."""

DECISIONS_KEPT = 500
"""Of a print; one is written only when it differs from the last."""

_BOX = ("label", "confidence", "x", "y", "width", "height")


class SqlDetection:
    def __init__(self, session: Session) -> None:
        self._session = session

    # --- states --------------------------------------------------------------------------------------------------

    def printer(self, printer_id: int) -> PrinterState:
        row = self._session.get(DetectionPrinterRow, printer_id)
        if row is None:
            return PrinterState(printer_id)
        masks = tuple(Mask(entry["camera"], tuple((x, y) for x, y in entry["points"])) for entry in row.masks)
        return PrinterState(printer_id, row.lifetime, row.long, masks)

    def save_printer(self, state: PrinterState) -> None:
        row = self._session.get(DetectionPrinterRow, state.printer_id)
        if row is None:
            row = DetectionPrinterRow(printer_id=state.printer_id)
            self._session.add(row)
        row.lifetime, row.long = state.lifetime, state.long
        row.masks = [{"camera": mask.camera, "points": [list(point) for point in mask.points]} for mask in state.masks]
        self._session.flush()

    def print(self, print_id: int, printer_id: int) -> PrintState:
        row = self._session.get(DetectionPrintRow, print_id)
        return _state(row) if row is not None else PrintState(print_id, printer_id)

    def save_print(self, state: PrintState) -> None:
        row = self._session.get(DetectionPrintRow, state.print_id)
        if row is None:
            row = DetectionPrintRow(print_id=state.print_id, printer_id=state.printer_id)
            self._session.add(row)
        row.cameras = {camera: asdict(scores) for camera, scores in state.cameras.items()}
        row.frames, row.normalized_p, row.judged_at = state.frames, state.normalized_p, state.judged_at
        row.acted_at, row.trouble, row.stage = state.acted_at, state.trouble, state.stage.value
        self._session.flush()

    def unfinished(self, limit: int) -> Sequence[PrintState]:
        ends = (PrintRow.deleted_at, PrintRow.finished_at, PrintRow.cancelled_at)
        over = or_(*(end.is_not(None) for end in ends))
        query = (
            select(DetectionPrintRow)
            .join(PrintRow, PrintRow.id == DetectionPrintRow.print_id)
            .where(or_(DetectionPrintRow.stage < Stage.DONE.value, PrintRow.deleted_at.is_not(None)), over)
            .order_by(DetectionPrintRow.print_id)
            .limit(limit)
        )
        return [_state(row) for row in self._session.scalars(query)]

    def remove_print(self, print_id: int) -> None:
        for table in (PredictionRow, DecisionRow, ShotRow, DetectionPrintRow):
            self._session.execute(delete(table).where(table.print_id == print_id))

    def resumed_at(self, print_id: int) -> datetime | None:
        query = select(PrinterEventRow.created_at).where(
            PrinterEventRow.print_id == print_id, PrinterEventRow.event_type == EventKind.RESUMED
        )
        return self._session.scalars(query.order_by(PrinterEventRow.id.desc()).limit(1)).first()

    # --- predictions ---------------------------------------------------------------------------------------------

    def add_prediction(self, prediction: Prediction) -> None:
        boxes = [[getattr(box, name) for name in _BOX] for box in prediction.boxes]
        row = PredictionRow(
            print_id=prediction.print_id, camera=prediction.camera, at=prediction.at,
            normalized_p=prediction.normalized_p, boxes=boxes, findings=list(prediction.findings),
            **asdict(prediction.scores),
        )  # fmt: skip
        self._session.add(row)
        self._session.flush()
        if row.n > PREDICTIONS_KEPT:
            self._keep_newest(PredictionRow, prediction.print_id, PREDICTIONS_KEPT)

    def predictions(self, print_id: int, last: int | None = None) -> Sequence[Prediction]:
        query = select(PredictionRow).where(PredictionRow.print_id == print_id).order_by(PredictionRow.id.desc())
        rows = self._session.scalars(query if last is None else query.limit(last)).all()
        return [_prediction(row) for row in reversed(rows)]

    def pack(self, print_id: int, packed: bytes) -> None:
        if row := self._session.get(DetectionPrintRow, print_id):
            row.packed = packed
        self._session.execute(delete(PredictionRow).where(PredictionRow.print_id == print_id))

    def packed(self, print_id: int) -> bytes | None:
        return self._session.scalar(select(DetectionPrintRow.packed).where(DetectionPrintRow.print_id == print_id))

    # --- decisions -----------------------------------------------------------------------------------------------

    def add_decision(self, decision: Decision) -> Decision:
        row = DecisionRow()
        _fill(row, decision)
        self._session.add(row)
        self._session.flush()
        self._keep_newest(DecisionRow, decision.print_id, DECISIONS_KEPT)
        return _decision(row)

    def save_decision(self, decision: Decision) -> None:
        if row := self._session.get(DecisionRow, decision.id):
            _fill(row, decision)

    def decisions(self, print_id: int) -> Sequence[Decision]:
        query = select(DecisionRow).where(DecisionRow.print_id == print_id)
        return [_decision(row) for row in self._session.scalars(query.order_by(DecisionRow.id.desc()))]

    def last_decision(self, print_id: int) -> Decision | None:
        query = select(DecisionRow).where(DecisionRow.print_id == print_id)
        row = self._session.scalars(query.order_by(DecisionRow.id.desc()).limit(1)).first()
        return _decision(row) if row else None

    def unsent(self, print_id: int) -> Decision | None:
        query = select(DecisionRow).where(DecisionRow.print_id == print_id, DecisionRow.sent == Sent.UNSENT)
        row = self._session.scalars(query.order_by(DecisionRow.id.desc()).limit(1)).first()
        return _decision(row) if row else None

    # --- shots ---------------------------------------------------------------------------------------------------

    def add_shot(self, shot: Shot) -> None:
        row = ShotRow()
        copy_to(row, shot)
        self._session.add(row)
        self._session.flush()

    def shot(self, shot_id: int) -> Shot | None:
        row = self._session.get(ShotRow, shot_id)
        return to_entity(row, Shot) if row and row.chosen else None

    def save_shot(self, shot: Shot) -> None:
        if row := self._session.get(ShotRow, shot.id):
            copy_to(row, shot)

    def candidates(self, print_id: int) -> Sequence[Shot]:
        query = select(ShotRow).where(ShotRow.print_id == print_id).order_by(ShotRow.p.desc(), ShotRow.id)
        return [to_entity(row, Shot) for row in self._session.scalars(query)]

    def remove_shots(self, shot_ids: Iterable[int]) -> None:
        self._session.execute(delete(ShotRow).where(ShotRow.id.in_(list(shot_ids))))

    def chosen(self, print_ids: Sequence[int]) -> Mapping[int, Sequence[Shot]]:
        found: dict[int, list[Shot]] = {}
        query = select(ShotRow).where(ShotRow.print_id.in_(print_ids), ShotRow.chosen).order_by(ShotRow.at, ShotRow.id)
        for row in self._session.scalars(query):
            found.setdefault(row.print_id, []).append(to_entity(row, Shot))
        return found

    # --- underneath ----------------------------------------------------------------------------------------------

    def _keep_newest(self, table: type[PredictionRow | DecisionRow], print_id: int, most: int) -> None:
        of_print = select(func.count()).select_from(table).where(table.print_id == print_id)
        if (self._session.scalar(of_print) or 0) <= most:
            return
        of_it = select(table.id).where(table.print_id == print_id)
        oldest = self._session.scalar(of_it.order_by(table.id.desc()).offset(most).limit(1))
        if oldest is not None:
            self._session.execute(delete(table).where(table.print_id == print_id, table.id <= oldest))


def _state(row: DetectionPrintRow) -> PrintState:
    return PrintState(
        row.print_id, row.printer_id, {name: CameraScores(**scores) for name, scores in row.cameras.items()},
        row.frames, row.normalized_p, row.judged_at, row.acted_at, row.trouble, Stage(row.stage),
    )  # fmt: skip


def _prediction(row: PredictionRow) -> Prediction:
    scores = Scores(row.n, row.lifetime, row.p, row.ewm, row.short, row.long)
    boxes = tuple(Box(**dict(zip(_BOX, values, strict=True))) for values in row.boxes)
    return Prediction(
        row.id, row.print_id, row.camera, row.at, scores, row.normalized_p, boxes, tuple(row.findings)
    )  # fmt: skip


_PLAIN = (
    "printer_id", "print_id", "at", "camera", "frame", "level", "action", "cause", "rule", "reason",
    "normalized_p", "sensitivity", "detector", "image_path", "sent", "outcome",
)  # fmt: skip


def _fill(row: DecisionRow, decision: Decision) -> None:
    for name in _PLAIN:
        setattr(row, name, getattr(decision, name))
    row.scores = asdict(decision.scores)
    row.findings, row.frames = list(decision.findings), [list(frame) for frame in decision.frames]


def _decision(row: DecisionRow) -> Decision:
    plain: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    frames = tuple((int(number), float(p)) for number, p in row.frames)
    return Decision(
        id=row.id, scores=Scores(**row.scores), findings=tuple(row.findings), frames=frames, **plain
    )  # fmt: skip
