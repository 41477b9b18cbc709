"""Heaters back before a resume: set without waiting, watched in the status, given up for a cancel (promise 7)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from agent_core import pause_klipper as klipper
from agent_core.errors import CommandFailed, Unreachable
from agent_core.pause import ResumePlan, is_hot, number
from agent_core.pause_record import PauseRecord
from agent_core.ports import Clock, Interrupt
from moonraker_obico.klipper_api import KlipperApi
from moonraker_obico.pause_steps import SOON, PauseSteps

HEAT_LIMIT = 3600.0
"""s; a bed may take half an hour. A heater that fails is found by Klipper's own verify_heater much earlier."""
AWAY_LIMIT = 60.0
"""s for which Moonraker may be away while we heat."""


class Heating:
    """Used under KlipperPrinter's lock."""

    def __init__(self, api: KlipperApi, steps: PauseSteps, clock: Clock) -> None:
        self._api = api
        self._steps = steps
        self._clock = clock

    def heat_back(self, record: PauseRecord, plan: ResumePlan, interrupt: Interrupt) -> None:
        """Returns when all is hot. Raises CommandFailed when it is given up; what was set here is off again then."""
        if is_hot(plan.wait, klipper.temperatures(self._api.objects())) and not plan.heat:
            return
        self._steps.note(record.but(warm_since=self._clock.now(), cooled=False))
        try:
            self._steps.set_heaters(plan.heat, interrupt)
            why = self._wait_hot(plan.wait, interrupt)
        except CommandFailed:
            self._cool_again(plan)
            raise
        if why is not None:
            self._cool_again(plan)
            raise CommandFailed(f"not resumed: {why}")

    def _cool_again(self, plan: ResumePlan) -> None:
        """Nobody waits for the heat any more, so it must not be left on; unless somebody else prints with it."""
        if klipper.print_state(self._api.objects()) != "printing":
            with suppress(CommandFailed, Unreachable):
                self._steps.set_heaters(dict.fromkeys(plan.heat, 0.0), None, timeout=SOON)

    def _wait_hot(self, wait: Mapping[str, float], interrupt: Interrupt) -> str | None:
        """None when all are hot; else why it was given up."""
        until = self._clock.monotonic() + HEAT_LIMIT
        while True:
            left = until - self._clock.monotonic()
            self._api.wait_for(
                lambda now: not now or klipper.not_paused(now) is not None or is_hot(wait, klipper.temperatures(now)),
                timeout=max(0.0, left),
                interrupt=interrupt,
            )
            if interrupt.is_set():
                return interrupt.reason or "it was interrupted"
            now = self._api.objects()
            if not now and left > 0:
                if not self._api.wait_for(bool, timeout=min(AWAY_LIMIT, left), interrupt=interrupt):
                    return "Moonraker or Klipper went away while heating"
                continue
            gone = klipper.not_paused(now)
            if gone is not None:
                return gone
            return None if is_hot(wait, klipper.temperatures(now)) else f"not hot after {number(HEAT_LIMIT / 60)} min"
