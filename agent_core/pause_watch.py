"""While our pause lasts on Klipper: what has happened to it, from the record and the status (promises 6, 8 and 9)."""

from __future__ import annotations

from enum import Enum

from agent_core import pause_klipper as klipper
from agent_core.pause_klipper import Objects
from agent_core.pause_record import PauseRecord

RENEW_AFTER = klipper.PROLONGED_IDLE / 2


class Turn(Enum):
    """What needs doing, most urgent first."""

    RESUMED_ELSEWHERE = "resumed elsewhere"
    OVER = "over"
    """The print ended, or another one is there: idle_timeout back, record away."""
    HOMING_LOST = "homing lost"
    COOL = "cool"
    """The user's own idle_timeout has passed: the heaters that are still on go off."""
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
    if not record.cooled and now - record.warm_since > record.idle_timeout and klipper.targets(objects):
        return Turn.COOL
    return Turn.RENEW_IDLE if now - record.idle_set_at > RENEW_AFTER else None
