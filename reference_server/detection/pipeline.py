"""Pictures on their way through detection: offered as they come, judged one after another, acted upon.

Only the number of a printer waits here, once each: when its turn comes, its newest picture is judged. So however slow
the detector is, no picture is held back or kept waiting, and memory is bounded by the number of printers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from agent_core.wire.messages import CommandName, CommandWhy
from agent_core.wire.status import Status
from reference_server import background
from reference_server.media.event_images import oriented
from reference_server.media.signing import MediaSigner
from reference_server.media.storage import MediaStore
from reference_server.realtime.command_desk import CommandDesk
from reference_server.realtime.hub import Hub
from reference_server.services.clock import Now
from reference_server.services.commands import CommandOutcome, CommandState
from reference_server.services.detection import scoring
from reference_server.services.detection.model import Action, Decision, Sent
from reference_server.services.detection.port import (
    Box,
    Detector,
    DetectorFailed,
    ExpectedPart,
    Frame,
    Judgement,
    Mask,
    Tagger,
)
from reference_server.services.detection.records import DetectionRecords, shots_folder
from reference_server.services.detection.watch import Seen, Taken, Task, Watch
from reference_server.services.errors import StoreFailed
from reference_server.services.live import LiveDetection, LivePrinter, Picture
from reference_server.services.secrets import RandomBytes, token
from reference_server.services.timelapse.model import Orientation
from reference_server.services.watching import should_watch

log = logging.getLogger(__name__)

JUDGES = 2
"""Pictures that are judged at the same time."""

TROUBLE_AFTER = 3
"""Pictures in a row that cannot be judged, until the user is told."""

GRACE = 2.0
"""Seconds that a detector may be later than it was allowed."""

SWEEP_EVERY = 15.0
"""Seconds between two looks for prints that are over."""

CAMERA = "camera"
"""Findings that begin so are about the camera, not the print."""

KeepTagged = Callable[[int, datetime, bytes], object]
"""(print id, time, JPEG): a picture with boxes, for the time-lapse."""

Result = TypeVar("Result")

_COMMANDS = {Action.PAUSE: CommandName.PAUSE, Action.CANCEL: CommandName.CANCEL}


@dataclass(frozen=True, slots=True)
class Sight:
    """Who judges pictures (None: nobody, detection is off), and who draws boxes into them."""

    detector: Detector | None = None
    tagger: Tagger | None = None


class _Stopped(Exception):
    """The server ends while something is waited for."""


class Pipeline:
    """Touched by the event loop only. `timeout`: seconds for one picture."""

    def __init__(
        self,
        *,
        hub: Hub,
        desk: CommandDesk,
        watch: Watch,
        records: DetectionRecords,
        media: MediaStore,
        signer: MediaSigner,
        now: Now,
        random: RandomBytes,
        sight: Sight,
        timeout: float,
        keep_tagged: KeepTagged,
    ) -> None:
        self._hub, self._desk, self._watch, self._records, self._media = hub, desk, watch, records, media
        self._now, self._random, self._timeout, self._signer = now, random, timeout, signer
        self._detector, self._tagger, self._keep_tagged = sight.detector, sight.tagger, keep_tagged
        self._queue: asyncio.Queue[int] = asyncio.Queue()  # each printer at most once
        self._waiting: set[int] = set()
        self._busy: set[int] = set()
        self._again: set[int] = set()  # a picture came while an earlier one was being judged
        self._judged: dict[int, datetime] = {}  # by printer: the time of the last picture that was tried
        self._troubled: dict[int, int] = {}  # by printer: pictures in a row with trouble
        self._down = False  # whether the detector's failure was logged

    # --- pictures come -------------------------------------------------------------------------------------------

    def offer(self, live: LivePrinter, picture: Picture) -> None:
        """A new picture of the primary camera. Costs nothing where nothing is to be judged."""
        printer_id = live.record.printer.id
        if self._detector is None or printer_id in self._waiting:
            return
        if not should_watch(live.record) or not live.is_printing:
            return
        if self._watch.is_due(self._judged.get(printer_id), picture.at):
            self._enqueue(printer_id)

    def _enqueue(self, printer_id: int) -> None:
        self._waiting.add(printer_id)
        self._queue.put_nowait(printer_id)

    async def run(self, stop: asyncio.Event) -> None:
        """A background worker."""
        if self._detector is None:
            return
        judges = [asyncio.ensure_future(self._serve(self._detector, stop)) for _ in range(JUDGES)]
        try:
            await asyncio.gather(*judges)
        finally:
            for judge in judges:
                judge.cancel()
            await asyncio.gather(*judges, return_exceptions=True)

    async def _serve(self, detector: Detector, stop: asyncio.Event) -> None:
        with suppress(_Stopped):
            while not stop.is_set():
                printer_id = await _unless(stop, self._queue.get())
                self._waiting.discard(printer_id)
                if printer_id in self._busy:
                    self._again.add(printer_id)
                    continue
                self._busy.add(printer_id)
                try:
                    await self._judge(detector, printer_id, stop)
                except StoreFailed as error:
                    log.error("printer %s: a picture was not judged: %s", printer_id, error)  # noqa: TRY400
                finally:
                    self._busy.discard(printer_id)
                    if printer_id in self._again:
                        self._again.discard(printer_id)
                        self._enqueue(printer_id)

    # --- one picture ---------------------------------------------------------------------------------------------

    async def _judge(self, detector: Detector, printer_id: int, stop: asyncio.Event) -> None:
        live = self._hub.live.get(printer_id)
        picture = live.primary_picture if live is not None else None
        if live is None or picture is None or not live.is_printing:
            return
        task = await run_in_threadpool(self._watch.begin, printer_id, picture.at)
        if task is None:
            return
        self._judged[printer_id] = picture.at
        if task.unsent is not None:
            await self._order(live, task.unsent, task)
        data = await run_in_threadpool(self._media.read, picture.path)
        if data is None:
            return
        frame = _frame(task, picture, data, live)
        try:
            judgement = await _unless(stop, self._ask(detector, frame))
        except DetectorFailed as failure:
            await self._failed(live, task, str(failure))
            return
        if self._down:
            self._down = False
            log.info("the failure detector (%s) works again", detector.name)
        await self._take(live, task, picture, data, judgement, stop)

    async def _ask(self, detector: Detector, frame: Frame) -> Judgement:
        try:
            return await asyncio.wait_for(detector.judge(frame, self._timeout), self._timeout + GRACE)
        except (TimeoutError, asyncio.TimeoutError):
            raise DetectorFailed(f"the failure detector did not answer within {self._timeout:g} s") from None

    async def _failed(self, live: LivePrinter, task: Task, reason: str) -> None:
        if not self._down:
            self._down = True
            log.warning("the failure detector does not work; prints are not watched: %s", reason)
        printer_id = live.record.printer.id
        if self._in_trouble(printer_id):
            await run_in_threadpool(self._watch.trouble, task, reason)
            known = live.detection or LiveDetection(task.job.id)
            if known.trouble is None:
                live.last_detection = replace(known, trouble=reason)
                self._hub.publish(printer_id)

    def _in_trouble(self, printer_id: int) -> bool:
        self._troubled[printer_id] = count = self._troubled.get(printer_id, 0) + 1
        return count >= TROUBLE_AFTER

    async def _take(
        self, live: LivePrinter, task: Task, picture: Picture, data: bytes, judgement: Judgement, stop: asyncio.Event
    ) -> None:
        printer_id = live.record.printer.id
        boxes = scoring.unmasked(judgement.boxes, _masks(task, picture.camera), judgement.width, judgement.height)
        complaint = next((words for words in judgement.findings if words.startswith(CAMERA)), None)
        if complaint is None:
            self._troubled.pop(printer_id, None)
        trouble = complaint if complaint is not None and self._in_trouble(printer_id) else None
        tagged = await self._tag(data, boxes, stop)
        seen = Seen(picture.camera, picture.at, boxes, judgement, trouble=trouble, fine=complaint is None)
        shown = tagged or data
        if seen.p > scoring.SHOT_WANTED:
            path = f"{shots_folder(task.job.id)}/{task.state.frames + 1}.jpg"
            seen = replace(seen, shot_path=await self._write(path, data))
        outlook = self._watch.outlook(task, picture.camera, seen.p)
        if outlook.verdict.action is not Action.NONE:
            path = f"events/{printer_id}/{token(self._random, 12)}.jpg"
            turn = Orientation.of(live.record.printer)
            seen = replace(seen, image_path=await self._write(path, oriented(shown, turn)))
        taken = await run_in_threadpool(self._watch.take, task, seen)
        if taken is None:
            await self._remove(seen.image_path, seen.shot_path)
            return
        await self._show(live, task, picture, tagged, taken)
        await self._remove(*taken.useless)
        decision = taken.decision
        if decision is not None:
            log.info(
                "printer %s, print %s: %s, %s: %s (%s)", printer_id, decision.print_id, decision.level.value,
                decision.action.value, decision.rule, decision.reason,
            )  # fmt: skip
            if decision.sent is Sent.UNSENT:
                await self._order(live, decision, task)

    async def _tag(self, data: bytes, boxes: tuple[Box, ...], stop: asyncio.Event) -> bytes | None:
        """The picture with its boxes; None if there are none to draw, or nobody draws them."""
        drawn = tuple(box for box in boxes if box.confidence > scoring.BOX_SHOWN)
        if not drawn or self._tagger is None:
            return None
        try:
            return await _unless(stop, self._tagger.tag(data, drawn, self._timeout))
        except DetectorFailed as failure:
            log.warning("boxes could not be drawn: %s", failure)
            return None

    async def _show(
        self, live: LivePrinter, task: Task, picture: Picture, tagged: bytes | None, taken: Taken
    ) -> None:
        found = taken.live
        if tagged is not None:
            path = await self._write(f"snapshots/{live.record.printer.id}/tagged.jpg", tagged)
            if path is not None:
                found = replace(found, tagged=replace(picture, path=path))
            try:
                await run_in_threadpool(self._keep_tagged, task.job.id, picture.at, tagged)
            except OSError as error:
                log.error("a picture with boxes was not kept: %s", error.strerror)  # noqa: TRY400
        live.last_detection = found
        self._hub.update(taken.record)

    async def _write(self, path: str, data: bytes) -> str | None:
        """The path, or None where it could not be written: a full disk does not keep anyone from being told."""
        try:
            await run_in_threadpool(self._media.write, path, data)
        except OSError as error:
            log.error("a picture could not be written: %s; is the disk full?", error.strerror)  # noqa: TRY400
            return None
        return path

    async def _remove(self, *paths: str | None) -> None:
        for path in paths:
            if path is not None:
                await run_in_threadpool(self._media.remove, path)

    # --- orders --------------------------------------------------------------------------------------------------

    async def _order(self, live: LivePrinter, decision: Decision, task: Task) -> None:
        """Send what was decided; without an agent it stays to be sent, at the next picture."""
        if self._watch.is_stale(task, decision):
            sent, words = Sent.NOTHING, "not sent any more: the user has answered meanwhile"
        else:
            order = self._desk.send(
                live, _COMMANDS[decision.action], "system", lambda base: self._why(decision, base)
            )
            sent, words = _result(await order)
        if (sent, words) != (decision.sent, decision.outcome):
            await run_in_threadpool(self._watch.ordered, decision, sent, words)

    def _why(self, decision: Decision, base: str) -> CommandWhy:
        """For the agent, so that its own pages can say it; `base`: the address that it knows us by."""
        picture = decision.image_path
        return CommandWhy(
            "failure_detection",
            decision.rule,
            round(decision.normalized_p, 3),
            None if picture is None else base + self._signer.url(picture, self._now().timestamp()),
            f"{base}/#/printers/{decision.printer_id}",
        )

    # --- after a print -------------------------------------------------------------------------------------------

    async def sweep(self, stop: asyncio.Event) -> None:
        """A background worker."""
        while not await background.wait(stop, SWEEP_EVERY):
            try:
                await run_in_threadpool(self.finish)
            except StoreFailed as error:  # noqa: PERF203 - each round for itself
                log.error("the work after a print was put off: %s", error)  # noqa: TRY400

    def finish(self) -> None:
        """Blocks."""
        self._records.finish(lambda folder: [name for name, _ in self._media.names(folder)], self._media.remove)


def _result(outcome: CommandOutcome | None) -> tuple[Sent, str]:
    if outcome is None:
        return Sent.UNSENT, "the printer's agent is not connected; it is told when it is back"
    if outcome.state in {CommandState.FAILED, CommandState.REJECTED}:
        return Sent.FAILED, outcome.error or f"the agent {outcome.state.value} it"
    return Sent.SENT, outcome.text or f"{outcome.name.value}: {outcome.state.value}"


def _masks(task: Task, camera: str) -> tuple[Mask, ...]:
    return tuple(mask for mask in task.printer_state.masks if mask.camera in {"", camera})


def _frame(task: Task, picture: Picture, data: bytes, live: LivePrinter) -> Frame:
    status = Status.from_wire(live.status or {})
    expected = ExpectedPart(
        status.current_layer, status.total_layers, status.progress.completion, status.current_z
    )  # fmt: skip
    return Frame(
        task.record.printer.id, task.job.id, picture.camera, picture.path, data, _masks(task, picture.camera),
        task.record.printer.detective_sensitivity, expected,
    )  # fmt: skip


async def _unless(stop: asyncio.Event, awaitable: Awaitable[Result]) -> Result:
    """Its result; raises _Stopped when the stop comes first."""
    work, ended = asyncio.ensure_future(awaitable), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise _Stopped
        return work.result()
    finally:
        ended.cancel()
        if not work.done():
            work.cancel()
            with suppress(asyncio.CancelledError, DetectorFailed):
                await work
