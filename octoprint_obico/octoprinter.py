"""What printer.py needs of OctoPrint, as Protocols; bridge.py implements them, tests fake them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from agent_core.model import Temperature


class OctoPrinter(Protocol):
    """OctoPrint's printer, as far as it is needed here. None of these waits for the printer."""

    def state_id(self) -> str: ...

    def job(self) -> tuple[str | None, str | None]:
        """Name and origin of the file that is selected."""
        ...

    def temperatures(self) -> Mapping[str, Temperature]: ...

    def height(self) -> float | None:
        """mm that the printer's profile allows in Z."""
        ...

    def shared_nozzle(self) -> bool: ...

    def z(self) -> float | None:
        """The last Z that OctoPrint saw, mm."""
        ...

    def runs_scripts(self) -> bool:
        """Whether this connection runs OctoPrint's G-code scripts (2.0 has others)."""
        ...

    def script_source(self, name: str) -> str:
        """The user's own script of that name, as it was written."""
        ...

    def commands(self, *lines: str) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None: ...


class PausePosition(Protocol):
    """OctoPrint's connection, as it hands itself to hooks."""

    def isPausing(self) -> bool: ...  # noqa: N802 - OctoPrint's name

    def isCancelling(self) -> bool: ...  # noqa: N802 - OctoPrint's name

    @property
    def pause_position(self) -> Any:
        """The printer's answer to OctoPrint's M114 at the pause: x, y, z in mm, each None if it never came."""
        ...

    @property
    def last_position(self) -> Any:
        """The newest answer to an M114, of the same kind."""
        ...
