"""Prints as an agent tells of them, told to a server in this process."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent_core.wire.messages import NOT_PRINTING, PrintEvent, StatusMessage
from reference_server.services.tracking import Tracked
from tests.contract.reference_server.fleet.farm import Farm


class Machine:
    """A printer of somebody's. `number`: its Obico id; `id`: its public one."""

    def __init__(self, farm: Farm, owner: str = "ada", name: str = "P") -> None:
        self.context: Any = farm.context
        user = self.context.accounts.user_named(owner)
        self.number: int = self.context.printers.create(user, name).printer.id
        with self.context.history._store.read() as tx:
            self.id: str = tx.fleet.printers.get(self.number).public_id

    def tell(
        self, ts: int, event: str | None = None, at: datetime | None = None, mm: float | None = None,
        seconds: float | None = None, event_id: str | None = None, file: str = "part.gcode", **data: Any,
    ) -> Tracked:  # fmt: skip
        """One message of its agent."""
        progress = {"filamentUsed": mm, "printTime": seconds}
        status = {"progress": progress, "job": {"file": {"name": file}}, "state": {"flags": {"printing": ts > 0}}}
        when = at.timestamp() if at is not None else None
        told = PrintEvent(event, {"name": file, **data}, event_id, when) if event else None
        tracked: Tracked = self.context.agent_socket._tracking.apply(self.number, StatusMessage(ts, status, told))
        self.context.hub.update(tracked.record)
        return tracked

    def prints(
        self, start: datetime, end: datetime, mm: float | None = None, seconds: float | None = None,
        how: str = "PrintDone",
    ) -> int:  # fmt: skip
        """A whole print; its id. `how`: PrintDone, PrintCancelled or PrintFailed."""
        ts = int(start.timestamp())
        begun = self.tell(ts, "PrintStarted", start).record.current_print
        assert begun is not None
        self.tell(ts, how, end, mm, seconds)
        if how == "PrintCancelled":
            self.tell(NOT_PRINTING)
        return begun.id
