"""idle_timeout: Idle, Printing, Ready, and the time-out that switches heaters and motors off."""

from __future__ import annotations

READY_AFTER = 0.5  # s without motion until "Printing" becomes "Ready"


class IdleTimeout:
    """Real seconds throughout. The host asks `due` and calls `advance`; `fire` tells it to run the idle G-code."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.state = "Idle"
        self._printing_since = 0.0
        self._last_activity = 0.0

    def touch(self, now: float, until: float) -> None:
        """Something moves or heats, motion lasts to `until`."""
        self._last_activity = max(self._last_activity, now, until)
        if self.state != "Printing":
            self.state = "Printing"
            self._printing_since = now

    def due(self) -> float | None:
        if self.state == "Printing":
            return self._last_activity + READY_AFTER
        if self.state == "Ready":
            return self._last_activity + self.timeout
        return None

    def advance(self, now: float, *, busy: bool) -> bool:
        """True when the idle G-code must run now. `busy`: a line or a file is being carried out."""
        due = self.due()
        if due is None or now < due:
            return False
        if busy:
            self._last_activity = now
            return False
        if self.state == "Printing":
            self.state = "Ready"
            return False
        return True

    def fired(self) -> None:
        self.state = "Idle"

    def status(self, now: float) -> dict[str, object]:
        printing = now - self._printing_since if self.state == "Printing" else 0.0
        return {"state": self.state, "printing_time": printing, "idle_timeout": self.timeout}
