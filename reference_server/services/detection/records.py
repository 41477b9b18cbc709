"""What users see of detection and say to it: decisions, predictions, masks, shots; and what follows a print (§5.5)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from agent_core.wire import read
from reference_server.services.clock import Now
from reference_server.services.detection import rules
from reference_server.services.detection.model import Answer, Decision, Prediction, PrintState, Shot, Stage
from reference_server.services.detection.port import Mask
from reference_server.services.detection.scoring import Scores
from reference_server.services.errors import Invalid, NotFound
from reference_server.services.model import Print, User
from reference_server.services.ports import Store, Transaction
from reference_server.services.printers import owned
from reference_server.services.text import clean

MOST_MASKS, MOST_CORNERS = 32, 200
"""Per printer, and of one mask."""

AT_ONCE = 20
"""Ended prints that are worked on in one go."""

Files = Callable[[str], Sequence[str]]


class DetectionRecords:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    # --- prints --------------------------------------------------------------------------------------------------

    def decisions(self, user: User, print_id: int) -> Sequence[Decision]:
        """Newest first. Raises NotFound."""
        with self._store.read() as tx:
            _owned(tx, user, print_id)
            return tx.detection.decisions(print_id)

    def predictions(self, user: User, print_id: int) -> bytes:
        """The prediction JSON (§5.5): a list, empty if nothing was judged. Raises NotFound."""
        with self._store.read() as tx:
            _owned(tx, user, print_id)
            packed, rows = tx.detection.packed(print_id), tx.detection.predictions(print_id)
        return dump(unpacked(packed) + [wire(row) for row in rows])

    # --- masks ---------------------------------------------------------------------------------------------------

    def masks(self, user: User, printer_id: int) -> Sequence[Mask]:
        with self._store.read() as tx:
            owned(tx, user, printer_id)
            return tx.detection.printer(printer_id).masks

    def set_masks(self, user: User, printer_id: int, body: object) -> Sequence[Mask]:
        """Raises Invalid, NotFound."""
        masks = checked_masks(body)
        with self._store.write() as tx:
            owned(tx, user, printer_id)
            tx.detection.save_printer(replace(tx.detection.printer(printer_id), masks=masks))
        return masks

    # --- shots ---------------------------------------------------------------------------------------------------

    def shots_of(self, prints: Sequence[Print]) -> Mapping[int, Sequence[Shot]]:
        """By print; only prints that have some."""
        with self._store.read() as tx:
            return tx.detection.chosen([job.id for job in prints])

    def shots(self, user: User, print_id: int) -> Sequence[Shot]:
        with self._store.read() as tx:
            _owned(tx, user, print_id)
            return tx.detection.chosen([print_id]).get(print_id, ())

    def shot(self, user: User, shot_id: int) -> Shot:
        with self._store.read() as tx:
            return _owned_shot(tx, user, shot_id)

    def answer(self, user: User, shot_id: int, value: object) -> Shot:
        """null takes an answer back. Raises Invalid, NotFound."""
        try:
            answer = None if value is None else Answer(value)
        except ValueError:
            raise Invalid.field("answer", f"One of {', '.join(word.value for word in Answer)} is needed.") from None
        with self._store.write() as tx:
            shot = _owned_shot(tx, user, shot_id)
            shot = replace(shot, answer=answer, answered_at=self._now() if answer is not None else None)
            tx.detection.save_shot(shot)
            return shot

    # --- after a print -------------------------------------------------------------------------------------------

    def finish(self, files: Files, remove: Callable[[str], None]) -> int:
        """Choose shots, pack predictions, remove the pictures that nobody needs; how many prints there were.

        `files`: the names in a media folder; `remove`: of a file by its path. After a kill it is simply done again.
        """
        with self._store.read() as tx:
            states = tx.detection.unfinished(AT_ONCE)
        for state in states:
            self._finish(state, files, remove)
        return len(states)

    def _finish(self, state: PrintState, files: Files, remove: Callable[[str], None]) -> None:
        print_id = state.print_id
        with self._store.write() as tx:
            job = tx.prints.get(print_id)
            state = tx.detection.print(print_id, state.printer_id)
            if job is not None and not job.ended:
                return  # it was given up too early and goes on
            kept: set[str] = set()
            if job is not None:
                if state.stage is Stage.OPEN:
                    self._close(tx, job)
                    tx.detection.save_print(replace(state, stage=Stage.CHOSEN))
                kept = {shot.image_path for shot in tx.detection.candidates(print_id)}
        folder = shots_folder(print_id)
        for name in files(folder):
            if f"{folder}/{name}" not in kept:
                remove(f"{folder}/{name}")
        with self._store.write() as tx:
            if job is None:
                tx.detection.remove_print(print_id)
                return
            state = tx.detection.print(print_id, state.printer_id)
            if state.stage is Stage.CHOSEN:
                tx.detection.save_print(replace(state, stage=Stage.DONE))

    @staticmethod
    def _close(tx: Transaction, job: Print) -> None:
        rows, packed = tx.detection.predictions(job.id), tx.detection.packed(job.id)
        if rows:
            tx.detection.pack(job.id, gzip.compress(dump(unpacked(packed) + [wire(row) for row in rows]), 6))
        candidates = tx.detection.candidates(job.id)
        printer = tx.printers.get(job.printer_id)
        asked: set[int] = set()
        if printer is not None and rules.asks_for_feedback(
            job, printer.min_timelapse_secs_on_finish, printer.min_timelapse_secs_on_cancel
        ):
            asked = {candidates[index].id for index in rules.chosen(candidates)}
        asked |= {shot.id for shot in candidates if shot.answer is not None}
        for shot in candidates:
            if shot.id in asked and not shot.chosen:
                tx.detection.save_shot(replace(shot, chosen=True))
        tx.detection.remove_shots(shot.id for shot in candidates if shot.id not in asked)


def shots_folder(print_id: int) -> str:
    return f"shots/{print_id}"


def _owned(tx: Transaction, user: User, print_id: int) -> Print:
    job = tx.prints.get(print_id)
    if job is None or job.user_id != user.id:
        raise NotFound
    return job


def _owned_shot(tx: Transaction, user: User, shot_id: int) -> Shot:
    shot = tx.detection.shot(shot_id)
    if shot is None:
        raise NotFound
    _owned(tx, user, shot.print_id)
    return shot


# --- JSON --------------------------------------------------------------------------------------------------------


def wire(row: Prediction) -> dict[str, Any]:
    """One entry of the prediction JSON; `camera`, `boxes`, `findings` are ours."""
    at = _time(row.at)
    return {
        "model": "app.printerprediction",
        "pk": row.id,
        "fields": {
            **wire_scores(row.scores, row.normalized_p),
            "created_at": at,
            "updated_at": at,
            "camera": row.camera,
            "boxes": [[box.label, box.confidence, [box.x, box.y, box.width, box.height]] for box in row.boxes],
            "findings": list(row.findings),
        },
    }


def wire_scores(scores: Scores, normalized: float) -> dict[str, Any]:
    return {
        "current_frame_num": scores.n,
        "lifetime_frame_num": scores.lifetime,
        "current_p": scores.p,
        "ewm_mean": scores.ewm,
        "rolling_mean_short": scores.short,
        "rolling_mean_long": scores.long,
        "normalized_p": normalized,
    }


def _time(value: datetime) -> str:
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def dump(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps(entries, separators=(",", ":")).encode()


def unpacked(packed: bytes | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gzip.decompress(packed)) if packed else []
    return found


# --- checks ------------------------------------------------------------------------------------------------------


def checked_masks(body: object) -> tuple[Mask, ...]:
    """A list of `{"camera", "points": [[x, y], …]}`, x and y 0 to 1. Raises Invalid."""
    if not isinstance(body, list) or len(body) > MOST_MASKS:
        raise Invalid(f"A list of at most {MOST_MASKS} masks is needed.")
    return tuple(_mask(entry, number) for number, entry in enumerate(body, 1))


def _mask(entry: object, number: int) -> Mask:
    found = read.mapping(entry)
    points = found.get("points") if found is not None else None
    camera = found.get("camera", "") if found is not None else None
    if found is None or not set(found) <= {"camera", "points"} or not isinstance(camera, str):
        raise Invalid.field("masks", f"Mask {number} must be an object with camera (text) and points.")
    if not isinstance(points, list) or not 3 <= len(points) <= MOST_CORNERS:
        raise Invalid.field("masks", f"Mask {number} needs 3 to {MOST_CORNERS} points.")
    return Mask(clean(camera, 200), tuple(_point(point, number) for point in points))


def _point(point: object, number: int) -> tuple[float, float]:
    values = [read.number(value) for value in point] if isinstance(point, list) and len(point) == 2 else []
    x, y = values if len(values) == 2 else (None, None)
    if x is None or y is None or not (0 <= x <= 1 and 0 <= y <= 1):
        raise Invalid.field("masks", f"Every point of mask {number} is [x, y] with numbers from 0 to 1.")
    return float(x), float(y)
