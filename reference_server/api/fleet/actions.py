"""What is done to a printer: `POST /v1/printers/:id/actions` (seed 004, fleet-api.md §2)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from agent_core.wire import read
from agent_core.wire.messages import CommandName
from reference_server.api.audit import Note
from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.fleet.auth import FleetCaller, PrintersControl
from reference_server.api.fleet.route import FleetRoute
from reference_server.api.fleet.schemas_printers import ActionGiven, ActionShown
from reference_server.api.responses import Json
from reference_server.realtime.passthru_desk import SILENT
from reference_server.services.commands import CommandState
from reference_server.services.errors import Conflict
from reference_server.services.fleet.errors import PrinterBusy, PrinterOffline
from reference_server.services.fleet.printer_state import has_print
from reference_server.services.fleet.printers import PrinterEntry
from reference_server.services.live import LivePrinter
from reference_server.services.model import AlertOverwrite
from reference_server.services.watching import is_downloading

router = APIRouter(prefix="/printers", tags=["printers"], route_class=FleetRoute)

MOST_HEATERS = 32
"""That a cooldown looks after; a printer has a handful."""

AXES = ["x", "y", "z"]

_USUAL = re.compile(r"tool[0-9]{1,2}|bed")


@dataclass(frozen=True, slots=True)
class Ask:
    """An action that is wanted, and the printer as it is."""

    context: Context
    caller: FleetCaller
    entry: PrinterEntry
    live: LivePrinter

    @property
    def printer_id(self) -> int:
        return self.entry.record.printer.id

    @property
    def is_busy(self) -> bool:
        """It prints, or is about to."""
        return self.live.is_printing or has_print(self.live) or is_downloading(self.live.status)

    def online(self) -> None:
        """Raises PrinterOffline."""
        if not self.live.agent_connected:
            raise PrinterOffline("No agent of this printer is connected.")

    def free(self) -> None:
        """Raises PrinterBusy."""
        if self.is_busy:
            raise PrinterBusy("A print is under way on this printer.")
        if self.entry.job is not None:
            raise PrinterBusy("A job is on its way to this printer.", {"job": self.entry.job})


@dataclass(frozen=True, slots=True)
class Result:
    state: str
    error: str | None = None


_STATES = {CommandState.DONE: "done", CommandState.FAILED: "failed", CommandState.REJECTED: "failed"}
"""Every other one: it is on its way, or its agent never tells."""

_VERDICTS = {CommandName.RESUME: AlertOverwrite.NOT_FAILED, CommandName.CANCEL: AlertOverwrite.FAILED}
"""What the action says of an alert (wire-protocol.md §5.4)."""


def _command(name: CommandName) -> Callable[[Ask], Awaitable[Result]]:
    async def send(ask: Ask) -> Result:
        ask.online()
        job = ask.live.record.current_print
        if job is None and not (name is CommandName.CANCEL and is_downloading(ask.live.status)):
            raise Conflict("Nothing is printing on this printer.")
        outcome = await ask.context.desk.send(ask.live, name, ask.caller.initiator)
        if outcome is None:
            raise PrinterOffline("The printer's agent has just gone.")
        state = _STATES.get(outcome.state, "accepted")
        if state == "failed":
            return Result(state, outcome.error or f"the agent {outcome.state.value} it")
        if job is not None and (verdict := _VERDICTS.get(name)) is not None:
            account = ask.caller.identity.account
            record, _ = await run_in_threadpool(
                ask.context.printers.acknowledge, account, ask.printer_id, verdict, job.id
            )
            ask.context.hub.update(record)
        return Result(state)

    return send


async def _home(ask: Ask) -> Result:
    ask.online()
    ask.free()
    reply = await ask.context.calls.call(ask.printer_id, "_printer", "home", AXES)
    if reply is SILENT:  # homing may take its time
        return Result("accepted")
    return Result("done") if reply.error is None else Result("failed", reply.error)


def heaters_of(status: Mapping[str, Any]) -> list[str]:
    """What can be switched off: nozzles and bed, known or not, and whatever else has a target."""
    told = read.mapping(status.get("temperatures")) or {}
    targets = {
        name: read.number(heater.get("target")) for name, heater in told.items() if isinstance(heater, dict)
    }  # fmt: skip
    found = [name for name, target in targets.items() if target is not None or _USUAL.fullmatch(name)]
    return found or ["tool0", "bed"]


async def _cooldown(ask: Ask) -> Result:
    """Each heater by itself, and all of them whatever one says: what can be switched off is switched off."""
    ask.online()
    ask.free()
    troubles = []
    for heater in heaters_of(ask.live.status or {})[:MOST_HEATERS]:
        # Looked at each time: the host's own buttons may have started a print meanwhile.
        if ask.is_busy:
            raise PrinterBusy("A print has begun on this printer.")
        reply = await ask.context.calls.call(ask.printer_id, "_printer", "set_temperature", heater, 0)
        if reply.error is not None:
            troubles.append(f"{heater}: {reply.error}")
    return Result("done") if not troubles else Result("failed", "; ".join(troubles)[:1000])


async def _clear_bed(ask: Ask) -> Result:
    if ask.is_busy:
        raise PrinterBusy("A print is under way on this printer: its bed is not clear.")
    await run_in_threadpool(ask.context.fleet.printers.clear_bed, ask.caller.identity, ask.entry.fleet.public_id)
    ask.context.fleet.changed.set()
    return Result("done")


ACTIONS: Mapping[str, Callable[[Ask], Awaitable[Result]]] = {
    "pause": _command(CommandName.PAUSE),
    "resume": _command(CommandName.RESUME),
    "cancel": _command(CommandName.CANCEL),
    "home": _home,
    "cooldown": _cooldown,
    "clear_bed": _clear_bed,
}


@router.post("/{printer_id}/actions", response_model=ActionShown, summary="Act on a printer")
async def act(
    printer_id: str, request: Request, context: Services, caller: PrintersControl, wanted: ActionGiven
) -> Response:
    """`pause`, `resume`, `cancel` the print under way; `home` all axes and switch all heaters off (`cooldown`) while
    nothing prints; `clear_bed` says that the bed is empty, so that the next job may come."""
    prepared: Note | None = getattr(request.state, "audit_note", None)
    if prepared is not None:
        request.state.audit_note = replace(prepared, action=f"v1.printers.{wanted.action}")
    entry = await run_in_threadpool(context.fleet.printers.entry, caller.identity, printer_id)
    ask = Ask(context, caller, entry, context.hub.live.put(entry.record))
    result = await ACTIONS[wanted.action](ask)
    return Json({
        "printer": entry.fleet.public_id, "action": wanted.action, "state": result.state, "error": result.error,
    })  # fmt: skip
