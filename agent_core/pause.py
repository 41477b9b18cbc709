"""Pause, resume and cancel: what may be done to a hot machine, decided without any I/O (pause-contract.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PauseSettings:
    """What the user wants of a pause: mm of retraction and lift, which heaters go off."""

    retract: float = 0.0
    lift_z: float = 0.0
    tools_off: bool = False
    bed_off: bool = False
