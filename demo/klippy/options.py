"""How a stand-in is set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from demo.klippy.motion import Machine


@dataclass(frozen=True, slots=True)
class Options:
    """All times in real seconds; `speed` scales motion, heating and G4 only, never time-outs, ticks or durations."""

    gcodes: Path
    speed: float = 1.0
    client_macros: bool = False
    cancel_on_error: bool = True
    idle_timeout: float = 600.0
    tick: float = 0.25
    restart_delay: float = 1.0
    refuse_time: float = 1.3
    startup_time: float = 0.5
    sensor_time: float = 0.5
    mcu_loss_time: float = 4.5
    mcu_retry_time: float = 5.0
    mcu_give_up_time: float = 90.0
    mcu_shutdown: bool = False
    config_error: str | None = None
    machine: Machine = field(default_factory=Machine)
