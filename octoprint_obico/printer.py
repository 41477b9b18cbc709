"""PrinterPort for OctoPrint: pause, resume and cancel as pause-contract.md has them (section OctoPrint).

Imports no OctoPrint; octoprinter.py is what it needs of it. The moves ride on OctoPrint's own G-code scripts: `script`
is its hook, called on OctoPrint's threads while the pause or the resume is under way, and does no I/O of ours. The
command worker writes the record: before the pause is asked for, and again with what was really done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agent_core.errors import CommandFailed, Rejected
from agent_core.model import EACH_TIME_SECONDS, AlertRaised, Temperature
from agent_core.pause import RECORD_KEY, PauseSettings, ResumePlan, is_hot, told_resume
from agent_core.pause_marlin import (
    Lines,
    MarlinFacts,
    after_pause_lines,
    after_resume_lines,
    before_resume_lines,
    heat_lines,
    resume_plan,
)
from agent_core.pause_record import PauseRecord, Step
from agent_core.ports import Clock, Interrupt, Store
from octoprint_obico.octoprinter import OctoPrinter, PausePosition
from octoprint_obico.sent import SentGcode

_log = logging.getLogger("octoprint.plugins.obico")

OUR_TAG = "plugin:obico"
TAGS = frozenset({"source:plugin", OUR_TAG})
"""On everything that we ask of OctoPrint; it carries them along to the lines it sends."""

LOOK_SECONDS = 0.1
"""Between two looks at the printer's state while a command runs."""
REACT_SECONDS = 60.0
"""A printer that shows no reaction at all for so long has not understood; OctoPrint itself reacts at once."""
CONFIRM_SECONDS = 3600.0
"""A pause behind M109 may take minutes (promise 4); after an hour nobody waits for it any more."""
HEAT_SECONDS = 1800.0
"""Heating back for a resume takes longer than this only if a heater is broken."""

_RUNNING = frozenset({"PRINTING", "STARTING", "RESUMING"})
_PRINT = _RUNNING | {"PAUSING", "PAUSED", "FINISHING", "CANCELLING"}


@dataclass(slots=True)
class _Asked:
    """A pause of ours that OctoPrint has not carried out yet."""

    settings: PauseSettings
    filename: str
    ts: int | None
    thread: int
    ours: bool = False
    """Seen on the line: it is our pause that is being carried out, not one that somebody asked for just before."""
    told: str | None = None
    record: PauseRecord | None = None


@dataclass(frozen=True, slots=True)
class ScriptLines:
    """For OctoPrint's script hook: before and after the user's own lines."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(slots=True)
class _Resuming:
    """A resume of ours under way; `heated`: what was heated back before OctoPrint was asked."""

    heated: Mapping[str, float] = field(default_factory=dict)
    told: str = "resumed"

    def tell(self, by_script: str) -> None:
        """`by_script`: the sentence for what the script's lines do; they may heat again what is hot already."""
        rest = [part for part in by_script.split("; ")[1:] if not (self.heated and " back at " in part)]
        self.told = "; ".join([told_resume(ResumePlan(heat=self.heated)), *rest])


class OctoPrintPort:
    """agent_core's PrinterPort. The commands run on the command worker; the hooks on OctoPrint's threads."""

    def __init__(
        self,
        printer: OctoPrinter,
        sent: SentGcode,
        clock: Clock,
        *,
        current: Callable[[], tuple[int, str] | None],
        alert: Callable[[AlertRaised], None],
    ) -> None:
        self._printer = printer
        self._sent = sent
        self._store: Store | None = None
        self._clock = clock
        self._current = current
        self._alert = alert
        # Guards the two below; held for a few lines without I/O, since OctoPrint's own threads take it.
        self._lock = threading.Lock()
        self._asked: _Asked | None = None
        self._record: PauseRecord | None = None
        self._resuming: _Resuming | None = None

    # --- commands -----------------------------------------------------------------------------------------------------

    def check(self, command: str) -> None:
        state = self._printer.state_id()
        if state not in _PRINT:
            raise Rejected(f"nothing is being printed (the printer is {state.lower().replace('_', ' ')})")
        if state == "CANCELLING":
            raise Rejected("the print is already being cancelled")
        if command == "pause":
            if state in {"PAUSED", "PAUSING"}:
                raise Rejected("the print is paused already")
            if state == "FINISHING":
                raise Rejected("the print is at its end")
        elif command == "resume" and state != "PAUSED":
            raise Rejected("the print is still pausing; try again when it is paused" if state == "PAUSING"
                           else "the print is not paused")  # fmt: skip

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        self.check("pause")
        asked, why_plain = self._ask(settings)
        with self._lock:
            self._asked = asked
        try:
            self._printer.pause()
            self._wait_for_pause(interrupt)
        finally:
            with self._lock:
                if self._asked is asked:
                    self._asked = None
        if asked is None:
            return f"paused; {why_plain}" if why_plain else "paused"
        if asked.told is None:
            self._forget_on_disk()
            return "paused by the printer or by somebody else at the same moment; nothing else was done"
        if asked.record is not None:
            self._keep(asked.record)
        return asked.told

    def _ask(self, settings: PauseSettings) -> tuple[_Asked | None, str]:
        """What the hook is to do, with a record of it on disk; or None and why a plain pause is all there is."""
        name, origin = self._printer.job()
        if not (settings.retract or settings.lift_z or settings.tools_off or settings.bed_off):
            return None, ""
        if origin in {"sdcard", "printer"}:
            return None, "a print from the printer's own storage is paused without retracting, lifting or cooling"
        if not self._printer.runs_scripts():
            return None, "this kind of connection pauses without retracting, lifting or cooling"
        current = self._current()
        asked = _Asked(settings, name or "", current[0] if current else None, threading.get_ident())
        intended = self._pause_lines(asked, self._facts(None)).record
        if intended is not None and not self._keep(_intended(intended)):
            return None, "nothing was retracted, lifted or switched off: no record of it could be kept on disk"
        return asked, ""

    def _pause_lines(self, asked: _Asked, facts: MarlinFacts) -> Lines:
        return after_pause_lines(facts, asked.settings, filename=asked.filename, ts=asked.ts, at=self._clock.now())

    def _wait_for_pause(self, interrupt: Interrupt) -> None:
        begun, reacted = self._clock.monotonic(), False
        while True:
            state = self._printer.state_id()
            if state == "PAUSED":
                return
            waited = self._clock.monotonic() - begun
            if state == "PAUSING":
                reacted = True
            elif state not in _PRINT or state == "CANCELLING":
                raise CommandFailed("the print ended before it could be paused")
            elif reacted:
                raise CommandFailed("somebody resumed the print before it was paused")
            elif waited > REACT_SECONDS:
                raise CommandFailed(f"the printer did not react to the pause within {REACT_SECONDS:g} s")
            if waited > CONFIRM_SECONDS:
                raise CommandFailed("the printer has not confirmed the pause within an hour; it may still come")
            if interrupt.wait(LOOK_SECONDS):
                raise CommandFailed(f"no longer waiting for the pause: {interrupt.reason}")

    def resume(self, interrupt: Interrupt) -> str:
        self.check("resume")
        record = self._known_record()
        resuming = _Resuming(self._heat_back(record, interrupt) if record is not None else {})
        with self._lock:
            self._resuming = resuming
        try:
            if self._printer.state_id() == "PAUSED":
                self._printer.resume()
            self._wait_for_print(interrupt)
        finally:
            with self._lock:
                self._resuming = None
        self._tidy()
        return resuming.told

    def _known_record(self) -> PauseRecord | None:
        """The record of the pause that is on, if it is ours; one of another print is dropped."""
        with self._lock:
            record = self._record
        name, _ = self._printer.job()
        if record is not None and not record.same_print(name or ""):
            self.print_over()
            return None
        return record

    def _heat_back(self, record: PauseRecord, interrupt: Interrupt) -> Mapping[str, float]:
        """Heaters back before OctoPrint is asked to resume: its own waiting (M109) nobody could interrupt. Which."""
        facts = self._facts(None)
        plan = resume_plan(record, facts)
        if plan.refusal is not None:
            raise Rejected(plan.refusal)
        lines = heat_lines(plan, facts)
        if lines:
            self._printer.commands(*lines)
        begun = self._clock.monotonic()
        while self._printer.state_id() == "PAUSED" and not is_hot(plan.wait, _actual(self._printer.temperatures())):
            if interrupt.wait(LOOK_SECONDS):
                self._cool_again(plan, facts)
                raise CommandFailed(f"not resumed: {interrupt.reason}")
            if self._clock.monotonic() - begun > HEAT_SECONDS:
                self._cool_again(plan, facts)
                raise CommandFailed(f"not resumed: the heaters were not back within {HEAT_SECONDS / 60:g} minutes")
        state = self._printer.state_id()
        if state not in _PRINT or state == "CANCELLING":
            # Our targets may have gone out behind those of OctoPrint's own cancel.
            self._cool_again(plan, facts)
            raise CommandFailed("not resumed: the print is over")
        return plan.heat

    def _cool_again(self, plan: ResumePlan, facts: MarlinFacts) -> None:
        """Back to the pause as it was: what the pause had switched off stays off. Not while somebody prints with it."""
        off = ResumePlan(heat=dict.fromkeys(plan.heat, 0.0))
        lines = heat_lines(off, facts)
        if lines and self._printer.state_id() not in _RUNNING | {"PAUSING", "FINISHING"}:
            self._printer.commands(*lines)

    def _wait_for_print(self, interrupt: Interrupt) -> None:
        begun = self._clock.monotonic()
        while True:
            state = self._printer.state_id()
            if state in {"PRINTING", "FINISHING"}:
                return
            if state not in _PRINT or state == "CANCELLING":
                raise CommandFailed("the print ended before it was resumed")
            waited = self._clock.monotonic() - begun
            if waited > (REACT_SECONDS if state == "PAUSED" else CONFIRM_SECONDS):
                raise CommandFailed("the printer did not react to the resume; look at it before trying again")
            if interrupt.wait(LOOK_SECONDS):
                raise CommandFailed(f"no longer waiting for the resume: {interrupt.reason}")

    def cancel(self, interrupt: Interrupt) -> str:
        self.check("cancel")
        with self._lock:
            self._asked = None
        self._printer.cancel()
        begun = self._clock.monotonic()
        while self._printer.state_id() in _PRINT:
            state = self._printer.state_id()
            waited = self._clock.monotonic() - begun
            if waited > (CONFIRM_SECONDS if state == "CANCELLING" else REACT_SECONDS):
                raise CommandFailed("the printer did not react to the cancel; look at it")
            if interrupt.wait(LOOK_SECONDS):
                raise CommandFailed(f"no longer waiting for the end of the print: {interrupt.reason}")
        self.print_over()
        self._tidy()
        return "cancelled"

    # --- what OctoPrint's threads tell ------------------------------------------------------------------------------

    def line_sent(self, tags: object) -> None:
        """An M400 went out: it is ours if it carries our tag, for OctoPrint begins a pause with one (1.11, 2.0)."""
        asked = self._asked
        if asked is not None and isinstance(tags, (set, frozenset)) and OUR_TAG in tags and "trigger:pause" in tags:
            asked.ours = True

    def script(self, connection: PausePosition, name: str) -> ScriptLines | None:
        """OctoPrint's script hook; None where we have nothing to add."""
        if name == "afterPrintPaused":
            return self._after_paused(connection)
        if name == "beforePrintResumed":
            return self._before_resumed()
        if name in {"afterPrintCancelled", "afterPrintDone", "beforePrintStarted"}:
            self.print_over()
        return None

    def _after_paused(self, connection: PausePosition) -> ScriptLines | None:
        asked = self._asked
        if asked is None or not (asked.ours or asked.thread == threading.get_ident()):
            return None
        if not connection.isPausing():
            # Resumed before the pause was through: OctoPrint runs this script all the same, into the running print.
            return None
        lines = self._pause_lines(asked, self._facts(connection))
        with self._lock:
            asked.told = lines.told
            asked.record = self._record = lines.record
        return ScriptLines(after=lines.lines)

    def _before_resumed(self) -> ScriptLines | None:
        record, resuming = self._record, self._resuming
        if record is None or not record.moved:
            self.print_over()
            return None
        facts = self._facts(None)
        lines = before_resume_lines(record, facts)
        # Only now: should the lines above fail, `watch` still tells that nothing was undone.
        self.print_over()
        if resuming is not None:
            resuming.tell(lines.told)
        elif resume_plan(record, facts).refusal is not None or "not pushed back" in lines.told:
            # Somebody else resumed where we would have refused, and nobody else is there to tell.
            self._alert(
                AlertRaised(
                    f"{record.filename}: resumed", lines.told, self._clock.now(), "PRINTER_ERROR", "WARNING",
                    every=EACH_TIME_SECONDS,
                )
            )
        return ScriptLines(before=lines.lines, after=after_resume_lines(record))

    def keep_from_sending(self, connection: PausePosition, tags: object) -> bool:
        """Our own lines of a resume that was cancelled meanwhile are not sent any more (promise 7)."""
        return (
            isinstance(tags, (set, frozenset))
            and OUR_TAG in tags
            and "script:beforePrintResumed" in tags
            and connection.isCancelling()
        )

    def watch(self, state_id: str) -> None:
        """The printer's state, as often as OctoPrint tells: a pause of ours that ended without our hook is told."""
        if self._record is None:
            return
        if state_id not in _PRINT:
            self.print_over()
        if state_id != "PRINTING":
            return
        with self._lock:
            record, self._record = self._record, None
        if record is None or not record.moved:
            return
        text = (
            f"The print was resumed at the printer itself. Still undone from Obico's pause: {_left(record)}. "
            "Look at the print now."
        )
        _log.error("%s: %s", record.filename, text)
        self._alert(
            AlertRaised(
                f"{record.filename}: resumed past Obico", text, self._clock.now(), "PRINTER_ERROR", "ERROR",
                every=EACH_TIME_SECONDS,
            )
        )

    def print_over(self) -> None:
        """Cancelled, done, failed or another begun: the plan is forgotten."""
        with self._lock:
            self._record, self._asked = None, None

    @property
    def paused_by_us(self) -> PauseRecord | None:
        return self._record

    # --- facts --------------------------------------------------------------------------------------------------------

    def _facts(self, connection: PausePosition | None) -> MarlinFacts:
        """With a connection: for afterPrintPaused, where the user's own lines come before ours."""
        file, z = self._sent.modes, self._printer.z()
        modes = file
        if connection is not None:
            paused_at = getattr(connection.pause_position, "z", None)
            z = float(paused_at) if isinstance(paused_at, (int, float)) else z
            own = self._printer.script_source("afterPrintPaused").splitlines()
            modes = modes.after_all(own)
            z = None if z is None else z + _lifted(own)
        return MarlinFacts(
            modes=modes,
            file_modes=file,
            temperatures=self._temperatures(),
            z=z,
            z_max=self._printer.height(),
            shared_nozzle=self._printer.shared_nozzle(),
        )

    def _temperatures(self) -> dict[str, Temperature]:
        """As OctoPrint has them, but for targets that were sent more lately than they can have been reported."""
        sent = self._sent.fresh_targets()
        return {
            name: replace(value, target=sent.get(name, value.target))
            for name, value in self._printer.temperatures().items()
        }

    # --- disk, on the command worker only -----------------------------------------------------------------------------

    def use(self, store: Store) -> None:
        """Before the first command, and again after a stop. A record on disk is of a print that is lost unless it is
        in memory too: OctoPrint and the print that it feeds end together.
        """
        self._store = store
        self._tidy()

    def _keep(self, record: PauseRecord) -> bool:
        try:
            if self._store is None:
                return False
            self._store.save(RECORD_KEY, record.to_json())
        except OSError as error:
            _log.warning("the record of this pause cannot be kept: %s", error)
            return False
        return True

    def _tidy(self) -> None:
        if self._record is None:
            self._forget_on_disk()

    def _forget_on_disk(self) -> None:
        try:
            if self._store is not None and self._store.load(RECORD_KEY) is not None:
                self._store.remove(RECORD_KEY)
        except OSError as error:
            _log.warning("the record of the last pause cannot be removed: %s", error)


def _intended(record: PauseRecord) -> PauseRecord:
    return record.but(
        retract_step=Step.INTENDED if record.retract else Step.NONE,
        lift_step=Step.INTENDED if record.lift else Step.NONE,
    )


def _actual(temperatures: Mapping[str, Temperature]) -> dict[str, float]:
    return {name: value.actual for name, value in temperatures.items() if value.actual is not None}


def _lifted(script: list[str]) -> float:
    """mm by which the user's own script may have lifted before us, at most: room that our lift must leave."""
    total = 0.0
    for line in script:
        words = line.split(";", 1)[0].upper().split()
        if words and words[0] in {"G0", "G1"}:
            for word in words[1:]:
                if word.startswith("Z"):
                    try:
                        total += abs(float(word[1:]))
                    except ValueError:
                        total += 10.0  # a template's expression; what people lift by
    return total


def _left(record: PauseRecord) -> str:
    parts = [f"{record.retract:g} mm of filament retracted"] if record.retract_step is Step.DONE else []
    parts += [f"lifted by {record.lift:g} mm"] if record.lift_step is Step.DONE else []
    parts += [f"{' and '.join(record.heaters_off)} switched off"] if record.heaters_off else []
    return ", ".join(parts)
