"""The single steps that a pause on Klipper is made of, each with its record kept first (pause-contract.md, 8)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress

from agent_core import pause_klipper as klipper
from agent_core.errors import CommandFailed, Unreachable
from agent_core.pause import RECORD_KEY, outstanding
from agent_core.pause_record import PauseRecord, Step
from agent_core.ports import Clock, Interrupt, Store
from moonraker_obico.klipper_api import OBJECTS, Abandoned, KlipperApi, Objects

_log = logging.getLogger(__name__)

SOON = 5.0
"""s for what nothing depends on: should it be queued behind other G-code, Klipper still does it, and we go on."""


class CannotKeep(Exception):
    """The record is not on disk, so the step must not be done."""


class PauseSteps:
    """The record and what is done by it. One user at a time: KlipperPrinter's lock sees to that."""

    def __init__(self, api: KlipperApi, store: Store, clock: Clock) -> None:
        self._api = api
        self._store = store
        self._clock = clock
        wire = store.load(RECORD_KEY)
        self.record: PauseRecord | None = None if wire is None else PauseRecord.from_json(wire)
        if wire is not None and self.record is None:
            _log.warning("the record of the last pause is damaged and dropped: resuming adds no moves of its own")
            self.forget()

    # --- the record

    def keep(self, record: PauseRecord) -> None:
        """Raises CannotKeep; the record in memory is the last one kept then."""
        try:
            self._store.save(RECORD_KEY, record.to_json())
        except OSError as error:
            raise CannotKeep(f"the agent cannot write its record ({error.strerror or error})") from error
        self.record = record

    def note(self, record: PauseRecord) -> None:
        """As `keep`, for what is done already or must be undone in any case. If it cannot be written, none is better
        than a wrong one: after a restart nothing is pushed twice.
        """
        try:
            self.keep(record)
        except CannotKeep as error:
            _log.warning("%s; should the agent restart in this pause, resuming adds no moves of its own", error)
            self.forget()
            self.record = record

    def forget(self) -> None:
        self.record = None
        with suppress(OSError):
            self._store.remove(RECORD_KEY)

    # --- asking

    def facts(self) -> Objects:
        """Fresh status of all that pausing looks at. Raises as KlipperApi.query."""
        known = self._api.objects()
        wanted = {**OBJECTS, **dict.fromkeys(klipper.heaters(known), None)}
        found = self._api.query({name: keys for name, keys in wanted.items() if name in known})
        return {**known, **found}

    def own_position(self) -> float | None:
        """The extruder's own position, None if it cannot be asked for."""
        with suppress(CommandFailed, Unreachable):
            return klipper.extruder_position(self._api.query({"toolhead": ("position",)}))
        return None

    # --- telling

    def script(self, text: str, interrupt: Interrupt | None, *, timeout: float | None = None) -> None:
        self._api.call("printer.gcode.script", {"script": text}, timeout=timeout, interrupt=interrupt)

    def careful_script(self, text: str, interrupt: Interrupt | None) -> None:
        """A script with SAVE_GCODE_STATE: what fails half-way is repaired. Raises as `script`."""
        try:
            self.script(text, interrupt)
        except Abandoned:
            raise
        except CommandFailed:
            with suppress(CommandFailed, Unreachable):
                self.script(klipper.repair(), interrupt, timeout=SOON)
            raise

    # --- the steps: each works on `record`, which must be there. They raise CannotKeep (not done), CommandFailed
    # --- (Klipper's words; what came of it stands in `record`), Abandoned and Unreachable (not known, stands so too).

    def _held(self) -> PauseRecord:
        if self.record is None:
            raise CannotKeep("the pause is over")
        return self.record

    def retract(self, length: float, facts: Objects, interrupt: Interrupt) -> None:
        e_before = klipper.extruder_position(facts)
        record = self._held().but(retract=length, retract_step=Step.INTENDED, e_before=e_before)
        self.keep(record)
        try:
            self.careful_script(klipper.retract(length, klipper.extrude_factor(facts)), interrupt)
        except Abandoned:
            raise
        except CommandFailed:
            self.note(self._settled(record, refused=Step.NONE))
            raise
        self.record = record.but(retract_step=Step.DONE)

    def push_back(self, length: float, facts: Objects, interrupt: Interrupt) -> None:
        e_now = klipper.extruder_position(facts)
        e_before = None if e_now is None else e_now + length
        record = self._held().but(retract=length, retract_step=Step.UNDOING, e_before=e_before)
        self.note(record)
        try:
            self.careful_script(klipper.unretract(length, klipper.extrude_factor(facts)), interrupt)
        except Abandoned:
            raise
        except CommandFailed:
            self.note(self._settled(record, refused=Step.DONE))
            raise
        self.note(record.but(retract_step=Step.UNDONE))

    def _settled(self, record: PauseRecord, *, refused: Step) -> PauseRecord:
        """After a refusal: the step as the extruder's own position tells it; if that cannot be asked, as `refused`."""
        length, doubts = outstanding(record, self.own_position())
        if doubts:
            return record.but(retract_step=refused)
        return record.but(retract_step=Step.DONE if length else Step.UNDONE)

    def lift(self, height: float, interrupt: Interrupt) -> None:
        record = self._held().but(lift=height, lift_step=Step.INTENDED)
        self.keep(record)
        try:
            self.careful_script(klipper.lift(height), interrupt)
        except Abandoned:
            raise
        except CommandFailed:
            self.note(record.but(lift_step=Step.NONE))
            raise
        self.record = record.but(lift_step=Step.DONE)

    def heaters_off(self, names: Iterable[str], interrupt: Interrupt) -> None:
        """All in one script; should that fail, one by one, and CommandFailed tells of those that stay on."""
        before, wanted = self._held().heaters_off, tuple(names)
        record = self._held().but(heaters_off=tuple(sorted({*before, *wanted})))
        self.keep(record)
        try:
            self.script(klipper.heaters_off(wanted), interrupt)
        except Abandoned:
            raise
        except CommandFailed:
            refused = {name: words for name in wanted if (words := self._refused_off(name, interrupt))}
            self.note(record.but(heaters_off=tuple(sorted({*before, *wanted} - refused.keys()))))
            if refused:
                raise CommandFailed("; ".join(f"{name} stays on: {why}" for name, why in refused.items())) from None

    def _refused_off(self, name: str, interrupt: Interrupt) -> str | None:
        try:
            self.script(klipper.heaters_off([name]), interrupt)
        except Abandoned:
            raise
        except CommandFailed as error:
            return first_line(error)
        return None

    def set_heaters(
        self, wanted: Mapping[str, float], interrupt: Interrupt | None, *, timeout: float | None = None
    ) -> None:
        if wanted:
            self.script(klipper.set_heaters(wanted), interrupt, timeout=timeout)

    def prolong_idle(self, own: float | None, interrupt: Interrupt, *, hot: bool) -> None:
        """`own`: the user's idle_timeout in s. Left alone where it is unknown or long enough anyway. `hot`: whether a
        heater is on; then it is held off only until we have switched that off, lest it stay on should we die.
        """
        record, now = self._held(), self._clock.now()
        lasts = (
            klipper.PROLONGED_IDLE if own is None or not hot else min(own + klipper.WARM_MARGIN, klipper.PROLONGED_IDLE)
        )
        seconds = lasts + float(max(0, int(now - record.at)))
        if own is None or own >= seconds:
            return
        prolonged = record.but(idle_timeout=own, idle_prolonged=seconds, idle_set_at=now)
        self.keep(prolonged)
        try:
            self.script(klipper.set_idle_timeout(seconds), interrupt)
        except Abandoned:
            raise
        except CommandFailed:
            self.note(record)
            raise

    def put_idle_back(self, interrupt: Interrupt | None) -> None:
        """Unless somebody else has set it since. Never fails: at worst it stays long until Klipper restarts."""
        record = self.record
        if record is None or record.idle_timeout is None:
            return
        in_force = klipper.idle_timeout({"idle_timeout": self._api.objects().get("idle_timeout", {})})
        if in_force is None or abs(in_force - record.idle_prolonged) < 1:
            try:
                self.script(klipper.set_idle_timeout(record.idle_timeout), interrupt, timeout=SOON)
            except (CommandFailed, Unreachable) as error:
                _log.warning(
                    "idle_timeout could not be put back to %g s (%s): it stays long until Klipper restarts",
                    record.idle_timeout, error,
                )  # fmt: skip
                return
        self.note(record.but(idle_timeout=None))


def first_line(error: Exception) -> str:
    """Klipper's errors can have several lines; the first says what is wrong."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
