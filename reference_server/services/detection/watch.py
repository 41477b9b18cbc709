"""A judged picture becomes scores, a decision, and what follows from it, all in one transaction.

Killed at any moment: before the commit nothing has happened and the next picture is judged; after it the scores, the
alert with its notice and the order to the printer are there together. An order that was not sent yet is sent then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from html import escape

from reference_server.services import event_text
from reference_server.services.clock import Now
from reference_server.services.detection import rules, scoring
from reference_server.services.detection.model import (
    Action,
    CameraScores,
    Decision,
    Prediction,
    PrinterState,
    PrintState,
    Sent,
    Shot,
    Stage,
)
from reference_server.services.detection.port import Box, Judgement
from reference_server.services.detection.rules import Verdict, Wish
from reference_server.services.detection.scoring import Level, Scores
from reference_server.services.followers import Follower, PrintChange
from reference_server.services.live import LiveDetection
from reference_server.services.model import EventKind, Print, Printer, PrinterEvent, PrinterRecord
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import Store, Transaction
from reference_server.services.watching import should_watch

SLACK = 0.95
"""Of the time from one judged picture to the next: cameras do not come to the second."""

FRAMES_TOLD = 30
"""Frames that a decision's record names."""


@dataclass(frozen=True, slots=True)
class Task:
    """A picture may be judged now. `unsent`: a decision whose order has not reached the printer."""

    record: PrinterRecord
    job: Print
    state: PrintState
    printer_state: PrinterState
    resumed_at: datetime | None
    unsent: Decision | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A judged picture without what is masked. `shot_path`, `image_path`: copies of it for feedback and for the alert;
    `trouble`: what is wrong with the camera for some time already; `fine`: it is not."""

    camera: str
    at: datetime
    boxes: tuple[Box, ...]
    judgement: Judgement
    shot_path: str | None = None
    image_path: str | None = None
    trouble: str | None = None
    fine: bool = False

    @property
    def p(self) -> float:
        return scoring.of_boxes(self.boxes)


@dataclass(frozen=True, slots=True)
class Taken:
    """`decision`: what was decided, if that is news. `useless`: stored pictures that nobody needs."""

    record: PrinterRecord
    live: LiveDetection
    decision: Decision | None
    useless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a picture would do, before it is taken."""

    scores: Scores
    level: Level
    verdict: Verdict


def outlook(
    record: PrinterRecord, job: Print, state: PrintState, printer_state: PrinterState, resumed_at: datetime | None,
    camera: str, p: float, now: datetime,
) -> Outlook:  # fmt: skip
    printer = record.printer
    scores = scoring.after(state.scores(camera, printer_state), p)
    level = scoring.level(scores, printer.detective_sensitivity)
    wish = Wish(printer.action_on_failure, printer.detection_snooze_secs)
    return Outlook(scores, level, rules.decide(level, job, wish, state.acted_at, resumed_at, now))


class Watch:
    """`every`: seconds from one judged picture of a printer to the next."""

    def __init__(self, store: Store, now: Now, every: float, followers: Sequence[Follower] = ()) -> None:
        self._store, self._now, self._every, self._followers = store, now, every, tuple(followers)

    def is_due(self, last: datetime | None, at: datetime) -> bool:
        return last is None or at - last >= timedelta(seconds=self._every * SLACK)

    def begin(self, printer_id: int, at: datetime) -> Task | None:
        """None: the picture of `at` is not to be judged. Whether the printer prints is known to the caller."""
        with self._store.read() as tx:
            printer = tx.printers.get(printer_id)
            record = tx.printers.record(printer) if printer is not None else None
            job = record.current_print if record is not None else None
            if record is None or job is None or not _is_watched(record):
                return None
            if at - job.started_at < timedelta(seconds=record.printer.detection_warmup_secs):
                return None
            state = tx.detection.print(job.id, printer_id)
            if not self.is_due(state.judged_at, at):
                return None
            return Task(
                record, job, state, tx.detection.printer(printer_id), tx.detection.resumed_at(job.id),
                tx.detection.unsent(job.id) if state.acted_at is not None else None,
            )  # fmt: skip

    def outlook(self, task: Task, camera: str, p: float) -> Outlook:
        return outlook(
            task.record, task.job, task.state, task.printer_state, task.resumed_at, camera, p, self._now()
        )  # fmt: skip

    def take(self, task: Task, seen: Seen) -> Taken | None:
        """None: the print is over, muted or another one meanwhile, or the picture was taken already."""
        now = self._now()
        with self._store.write() as tx:
            printer = tx.printers.get(task.record.printer.id)
            record = tx.printers.record(printer) if printer is not None else None
            job = record.current_print if record is not None else None
            if printer is None or record is None or job is None or job.id != task.job.id or not _is_watched(record):
                return None
            state = tx.detection.print(job.id, printer.id)
            printer_state = tx.detection.printer(printer.id)
            if state.judged_at is not None and seen.at <= state.judged_at:
                return None
            resumed_at = tx.detection.resumed_at(job.id)
            found = outlook(record, job, state, printer_state, resumed_at, seen.camera, seen.p, now)
            scores = found.scores
            normalized = scoring.normalized(scores, printer.detective_sensitivity)
            tx.detection.save_printer(replace(printer_state, lifetime=scores.lifetime, long=scores.long))
            cameras = {**state.cameras, seen.camera: CameraScores(scores.n, scores.p, scores.ewm, scores.short)}
            state = replace(
                state, cameras=dict(list(cameras.items())[-16:]), frames=state.frames + 1, normalized_p=normalized,
                judged_at=seen.at, stage=Stage.OPEN,
            )  # fmt: skip
            tx.detection.add_prediction(
                Prediction(
                    0, job.id, seen.camera, seen.at, scores, normalized, seen.boxes, seen.judgement.findings
                )
            )  # fmt: skip
            useless = self._keep_shot(tx, job, seen)
            decision = self._decide(tx, printer, job, found, seen, normalized, now)
            if decision is not None and decision.action in {Action.PAUSE, Action.CANCEL}:
                state = replace(state, acted_at=now)
            if decision is None or decision.image_path is None:
                useless += (seen.image_path,) if seen.image_path else ()
            state = self._tell_trouble(tx, printer, job, state, seen.trouble, fine=seen.fine)
            tx.detection.save_print(state)
            live = LiveDetection(
                job.id, normalized, found.level.value, seen.judgement.detector, seen.judgement.findings, seen.at,
                trouble=state.trouble,
            )  # fmt: skip
            return Taken(tx.printers.record(printer), live, decision, useless)

    def _keep_shot(self, tx: Transaction, job: Print, seen: Seen) -> tuple[str, ...]:
        if seen.shot_path is None:
            return ()
        tx.detection.add_shot(Shot(0, job.id, seen.shot_path, seen.p, seen.at))
        too_many = [shot for shot in tx.detection.candidates(job.id) if not shot.chosen][rules.SHOTS_KEPT :]
        tx.detection.remove_shots(shot.id for shot in too_many)
        return tuple(shot.image_path for shot in too_many)

    def _decide(
        self, tx: Transaction, printer: Printer, job: Print, found: Outlook, seen: Seen, normalized: float,
        now: datetime,
    ) -> Decision | None:  # fmt: skip
        """Written down if it does something, or differs from the last."""
        verdict, level = found.verdict, found.level
        last = tx.detection.last_decision(job.id)
        if verdict.action is Action.NONE:
            before = (last.level, last.cause) if last is not None else (Level.NONE, "fine")
            if before == (level, verdict.cause):
                return None
        sensitivity = printer.detective_sensitivity
        of_camera = [p for p in tx.detection.predictions(job.id, FRAMES_TOLD) if p.camera == seen.camera]
        decision = Decision(
            id=0, printer_id=printer.id, print_id=job.id, at=now, camera=seen.camera, frame=found.scores.n, level=level,
            action=verdict.action, cause=verdict.cause, rule=rules.rule_text(found.scores, sensitivity, level),
            reason=verdict.reason, scores=found.scores, normalized_p=normalized, sensitivity=sensitivity,
            detector=seen.judgement.detector, findings=seen.judgement.findings,
            frames=tuple((p.scores.n, round(p.scores.p, 6)) for p in of_camera),
        )  # fmt: skip
        if verdict.action is not Action.NONE:
            sent = Sent.NOTHING if verdict.action is Action.ALERT else Sent.UNSENT
            decision = replace(decision, image_path=seen.image_path, sent=sent)
            self._alert(tx, printer, job, decision, now)
        return tx.detection.add_decision(decision)

    def _alert(self, tx: Transaction, printer: Printer, job: Print, decision: Decision, now: datetime) -> None:
        paused = decision.action is Action.PAUSE
        job = replace(job, alerted_at=now, paused_at=now if paused else job.paused_at)
        tx.prints.save(job)
        title, event_class = event_text.title_and_class(EventKind.FAILURE_ALERTED, job)
        why = "; ".join((*decision.findings, decision.rule))
        text = f"{event_text.text(printer, job)}<div><i>Why:</i> {escape(why)}</div>"
        event = tx.events.add(
            PrinterEvent(
                0, printer.user_id, printer.id, job.id, EventKind.FAILURE_ALERTED, event_class, title, text,
                created_at=now, image_path=decision.image_path,
            )
        )  # fmt: skip
        tx.users.count_unseen_event(printer.user_id)
        done = {Action.PAUSE: " The print is being paused.", Action.CANCEL: " The print is being cancelled."}
        tx.notices.add(
            Notice(
                0, printer.user_id, printer.id, job.id,
                NoticeKind.PAUSED_BY_DETECTION if paused else NoticeKind.FAILURE_DETECTED,
                title, f"{printer.name}: {job.filename}.{done.get(decision.action, '')} Why: {why}", now, event.id,
                decision.image_path,
                {
                    "level": decision.level.value, "action": decision.action.value,
                    "normalized_p": decision.normalized_p, "p": decision.scores.p, "frame": decision.frame,
                },
            )
        )  # fmt: skip
        change = PrintChange(printer, (job,), (event,))
        for follower in self._followers:
            follower.follow(tx, change)

    # --- orders --------------------------------------------------------------------------------------------------

    def is_stale(self, task: Task, decision: Decision) -> bool:
        """Whether the user has had his say since: the order is then no longer to be sent."""
        said = (task.resumed_at, task.job.alert_acknowledged_at)
        return any(at is not None and at > decision.at for at in said)

    def ordered(self, decision: Decision, sent: Sent, outcome: str) -> None:
        """What became of a decision's order; a failure is told."""
        with self._store.write() as tx:
            tx.detection.save_decision(replace(decision, sent=sent, outcome=outcome))
            printer = tx.printers.get(decision.printer_id)
            job = tx.prints.get(decision.print_id)
            if sent is Sent.FAILED and decision.sent is not Sent.FAILED and printer is not None and job is not None:
                word = "pause" if decision.action is Action.PAUSE else "cancel"
                title = f"The print could not be {word}{'d' if word == 'pause' else 'led'}"
                text = f"{printer.name}: {job.filename}. {outcome}. Look after it."
                tx.notices.add(
                    Notice(
                        0, printer.user_id, printer.id, job.id, NoticeKind.AGENT_TROUBLE, title, text, self._now(),
                        image_path=decision.image_path,
                    )
                )  # fmt: skip

    # --- trouble -------------------------------------------------------------------------------------------------

    def trouble(self, task: Task, reason: str) -> None:
        """Nothing can be judged for some time already: told once a print, until it can be again."""
        if task.state.trouble is not None:
            return
        with self._store.write() as tx:
            printer, job = tx.printers.get(task.record.printer.id), tx.prints.get(task.job.id)
            if printer is None or job is None:
                return
            state = tx.detection.print(job.id, printer.id)
            tx.detection.save_print(self._tell_trouble(tx, printer, job, state, reason, fine=False))

    def _tell_trouble(
        self, tx: Transaction, printer: Printer, job: Print, state: PrintState, trouble: str | None, *, fine: bool
    ) -> PrintState:
        if trouble is not None and state.trouble is None:
            title, state = "The print is not being watched", replace(state, trouble=trouble[:1000])
        elif fine and state.trouble is not None:
            title, trouble, state = "The print is being watched again", "", replace(state, trouble=None)
        else:
            return state
        why = f" {trouble}." if trouble else ""
        tx.notices.add(
            Notice(
                0, printer.user_id, printer.id, job.id, NoticeKind.CAMERA_TROUBLE, title,
                f"{printer.name}: {job.filename}.{why}", self._now(),
            )
        )  # fmt: skip
        return state

    # --- after a restart -----------------------------------------------------------------------------------------

    def recall(self, record: PrinterRecord) -> LiveDetection | None:
        """What was known of the current print before the server was stopped."""
        job = record.current_print
        if job is None:
            return None
        with self._store.read() as tx:
            state = tx.detection.print(job.id, record.printer.id)
            last = tx.detection.predictions(job.id, 1)
        if not last:
            return None
        level = scoring.level(last[0].scores, record.printer.detective_sensitivity)
        return LiveDetection(
            job.id, state.normalized_p, level.value, None, last[0].findings, state.judged_at, trouble=state.trouble
        )


def _is_watched(record: PrinterRecord) -> bool:
    job = record.current_print
    return should_watch(record) and job is not None and not job.ended
