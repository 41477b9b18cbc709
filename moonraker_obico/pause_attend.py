"""Our pause in other hands, or a long one: heaters back at once, filament when hot, else an alert (promises 6, 9)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from agent_core import pause_klipper as klipper
from agent_core.errors import CommandFailed, Unreachable
from agent_core.model import AGAIN_SECONDS, EACH_TIME_SECONDS, AlertRaised
from agent_core.pause import heater_shown, number, plan_resume
from agent_core.pause_record import PauseRecord, Step
from agent_core.pause_watch import Turn, turn
from agent_core.ports import Clock, Interrupt
from moonraker_obico.klipper_api import Abandoned, KlipperApi, Objects
from moonraker_obico.pause_steps import CannotKeep, PauseSteps, first_line

_log = logging.getLogger(__name__)

PUSH_BAND = 10.0
"""°C below the target at which filament may be pushed back into a running print, which pushes it at this anyway."""
PUSH_LIMIT = 300.0
"""s; later the print has made up for it by itself."""


class Attendant:
    """Runs on a worker, under KlipperPrinter's lock, and gives way to a command at once."""

    def __init__(
        self,
        api: KlipperApi,
        steps: PauseSteps,
        clock: Clock,
        *,
        print_ts: Callable[[], int | None],
        alert: Callable[[AlertRaised], None],
    ) -> None:
        self._api = api
        self._steps = steps
        self._clock = clock
        self._print_ts = print_ts
        self._alert = alert
        self._interrupt = Interrupt()

    def give_way(self, reason: str) -> None:
        self._interrupt.set(reason)

    def welcome(self) -> None:
        """The command is over."""
        self._interrupt = Interrupt()

    def attend(self) -> None:
        """Does the most urgent thing; whatever is left shows at the next update."""
        record, objects = self._steps.record, self._api.objects()
        if record is None:
            return
        what = turn(record, objects, now=self._clock.now(), ts=self._print_ts())
        try:
            if what is Turn.RESUMED_ELSEWHERE:
                self._resumed_elsewhere(record, objects)
            elif what is Turn.OVER:
                self._steps.put_idle_back(self._interrupt)
                self._steps.forget()
            elif what is Turn.HOMING_LOST:
                self._homing_lost(record)
            elif what is Turn.COOL:
                self._cool(record, objects)
            elif what is Turn.COOLED:
                self._steps.note(record.but(cooled=True))
                self._steps.prolong_idle(record.idle_timeout, self._interrupt, hot=False)
            elif what is Turn.WARMED:
                self._steps.note(record.but(cooled=False, warm_since=self._clock.now()))
                self._steps.prolong_idle(record.idle_timeout, self._interrupt, hot=True)
            elif what is Turn.RENEW_IDLE:
                # Tried once in RENEW_AFTER, whatever comes of it.
                self._steps.prolong_idle(record.idle_timeout, self._interrupt, hot=not record.cooled)
        except Abandoned:
            _log.info("pause: gave way to a command (%s)", self._interrupt.reason)
        except (CommandFailed, Unreachable, CannotKeep) as error:
            self._failed(what, error)

    def _failed(self, what: Turn | None, error: Exception) -> None:
        record, words = self._steps.record, first_line(error)
        if what is Turn.RESUMED_ELSEWHERE:
            self._say(
                "Check the printer now",
                f"The paused print was resumed elsewhere, and it could not be made ready: {words}. "
                "Check the heaters and the extrusion.",
                "ERROR",
            )
            self._steps.forget()
        elif record is not None and what is Turn.COOL:
            self._steps.note(record.but(warm_since=self._clock.now()))  # tried again when it has passed once more
            self._say("Heaters still on in a pause", f"They could not be switched off: {words}.", "ERROR")
        elif record is not None and what in (Turn.RENEW_IDLE, Turn.COOLED, Turn.WARMED):
            self._steps.note(record.but(idle_set_at=self._clock.now()))
            _log.warning("idle_timeout could not be prolonged (%s): Klipper may end the pause", words)

    def _homing_lost(self, record: PauseRecord) -> None:
        self._steps.note(record.but(homing_alerted=True))
        self._say(
            "Paused print lost its position",
            "The motors were switched off in the pause, so the printer no longer knows where its head is. "
            "The print cannot be resumed; cancel it.",
            "ERROR",
            topic="homing",
        )

    def _cool(self, record: PauseRecord, objects: Objects) -> None:
        on = klipper.targets(objects)
        # What was off already comes back to what the print had, not to what somebody set in the pause.
        kept = {name: target for name, target in on.items() if name not in record.heaters_off}
        self._steps.note(record.but(targets={**record.targets, **kept}))
        self._steps.heaters_off(sorted(on), self._interrupt)
        shown = " and ".join(map(heater_shown, sorted(on)))
        self._say(
            "Heaters off in a long pause",
            f"The print has been paused for longer than idle_timeout: {shown} switched off. "
            "The motors stay on; resuming heats up again first.",
            "INFO",
            topic="idle",
        )

    def _resumed_elsewhere(self, record: PauseRecord, objects: Objects) -> None:
        worries: list[str] = []
        plan = plan_resume(record, klipper.machine(objects))
        if plan.refusal is not None:  # another tool is active: it must not be pushed, but heat comes back all the same
            worries.append(plan.refusal)
            plan = plan_resume(record.but(retract_step=Step.NONE), klipper.machine(objects))
        worries += plan.notes
        self._steps.set_heaters(plan.heat, self._interrupt)
        if plan.lower and klipper.is_paused_flag(objects):
            worries.append(
                f"it was resumed by M24, which does not lower the head: it may print {number(plan.lower)} mm too high"
            )
        cold = bool(plan.unretract) and not self._may_push(record, self._steps.facts())
        if cold:
            worries.append(
                f"{number(plan.unretract)} mm of filament are still retracted, and the nozzle is too cold to push"
            )
        if worries or plan.heat:
            heated = [
                f"{heater_shown(name)} set back to {number(target)} °C" for name, target in sorted(plan.heat.items())
            ]
            self._say(
                "Paused print resumed elsewhere",
                f"Somebody resumed the print that was paused from here: {'; '.join([*heated, *worries])}. Check it.",
                "ERROR" if worries else "WARNING",
            )
        if plan.unretract:
            self._push_when_hot(record, plan.unretract)
        self._steps.put_idle_back(self._interrupt)
        self._steps.forget()

    def _push_when_hot(self, record: PauseRecord, length: float) -> None:
        def settled(objects: Objects) -> bool:
            return not klipper.is_printing(objects) or self._may_push(record, objects)

        self._api.wait_for(settled, timeout=PUSH_LIMIT, interrupt=self._interrupt)
        if self._interrupt.is_set():
            raise Abandoned(self._interrupt.reason)
        facts = self._steps.facts()
        if klipper.is_printing(facts) and self._may_push(record, facts):
            self._steps.push_back(length, facts, self._interrupt)
            _log.info("pause: resumed elsewhere; %s mm of filament pushed back", number(length))
        elif klipper.print_state(facts) == "paused":
            raise Abandoned("paused again")  # the record stays: the retraction still waits

    @staticmethod
    def _may_push(record: PauseRecord, objects: Objects) -> bool:
        machine = klipper.machine(objects)
        target = max(machine.targets.get(record.tool, 0.0), machine.min_extrude)
        warm = machine.temperatures.get(record.tool, 0.0) >= target - PUSH_BAND
        return machine.tool == record.tool and machine.can_extrude and warm

    def _say(self, title: str, text: str, event_class: str, topic: str | None = None) -> None:
        """Without a `topic` it is told each time: somebody has done something to a hot machine."""
        _log.warning("pause: %s. %s", title, text)
        every = EACH_TIME_SECONDS if topic is None else AGAIN_SECONDS
        self._alert(AlertRaised(title, text, self._clock.now(), event_class=event_class, topic=topic, every=every))
