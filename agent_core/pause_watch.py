"""While our pause lasts on Klipper: what has happened to it, from the record and the status (promises 6, 8 and 9)."""

from __future__ import annotations

from enum import Enum

from agent_core import pause_klipper as klipper
from agent_core.pause_klipper import Objects
from agent_core.pause_record import PauseRecord

RENEW_AFTER = klipper.PROLONGED_IDLE / 2
_CLOCK_SLACK = 60.0  # s by which a clock may be put right without being noticed here


class Turn(Enum):
    """What needs doing, most urgent first."""

    RESUMED_ELSEWHERE = "resumed elsewhere"
    OVER = "over"
    """The print ended, or another one is there: idle_timeout back, record away."""
    HOMING_LOST = "homing lost"
    COOL = "cool"
    """The user's own idle_timeout has passed: the heaters that are still on go off."""
    COOLED = "cooled"
    """All heaters are off now: the pause may last."""
    WARMED = "warmed"
    """Somebody has switched a heater on: the user's own idle_timeout counts from now."""
    RENEW_IDLE = "renew idle"


def turn(record: PauseRecord, objects: Objects, *, now: float, ts: int | None = None) -> Turn | None:
    """None: all is as it should be, or Klipper is away and nothing can be said. `ts`: of the print now, if known."""
    if klipper.not_ready(objects) is not None:
        return None
    state = klipper.print_state(objects)
    if state not in ("printing", "paused"):
        return Turn.OVER if state else None
    if not record.same_print(klipper.filename(objects), ts=ts, print_clock=klipper.print_clock(objects)):
        return Turn.OVER
    if state == "printing":
        return Turn.RESUMED_ELSEWHERE
    if klipper.unhomed(objects) and not record.homing_alerted:
        return Turn.HOMING_LOST
    if record.idle_timeout is None:
        return None
    hot = bool(klipper.targets(objects))
    if hot is record.cooled:
        return Turn.WARMED if hot else Turn.COOLED
    warm = now - record.warm_since
    # Where the clock was set back nobody knows for how long it has been hot; off is safe.
    if hot and (warm > record.idle_timeout or warm < -_CLOCK_SLACK):
        return Turn.COOL
    return Turn.RENEW_IDLE if abs(now - record.idle_set_at) > RENEW_AFTER else None
