"""Commands to a printer and what became of them (wire-protocol.md §3.5, extensions.md)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from agent_core.wire.messages import Command, CommandAck, CommandName
from reference_server.services.model import Printer
from reference_server.services.text import clean

OUTCOMES_KEPT = 50
"""Per printer."""


class CommandState(str, Enum):
    """SENT: no word yet. UNKNOWN: the agent never tells (a public one), or went away before it did."""

    SENT = "sent"
    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        return self not in {CommandState.SENT, CommandState.ACCEPTED}


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    id: str
    name: CommandName
    initiator: str
    at: datetime
    state: CommandState = CommandState.SENT
    error: str | None = None


def build(name: CommandName, printer: Printer, initiator: str, command_id: str | None) -> Command:
    """The order as the agent gets it; `tools_off` and `bed_off` are there only when they are wanted (§3.5)."""
    args: dict[str, float | bool] = {}
    if name is CommandName.PAUSE:
        args = {"retract": printer.retract_on_pause, "lift_z": printer.lift_z_on_pause}
        if printer.tools_off_on_pause:
            args["tools_off"] = True
        if printer.bed_off_on_pause:
            args["bed_off"] = True
    return Command(name.value, args, initiator, command_id)


class CommandLog:
    """Outcomes of one printer's commands, newest last."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[str, CommandOutcome] = OrderedDict()

    def add(self, outcome: CommandOutcome) -> None:
        self._outcomes[outcome.id] = outcome
        while len(self._outcomes) > OUTCOMES_KEPT:
            self._outcomes.popitem(last=False)

    def get(self, command_id: str) -> CommandOutcome | None:
        return self._outcomes.get(command_id)

    @property
    def last(self) -> CommandOutcome | None:
        return next(reversed(self._outcomes.values())) if self._outcomes else None

    def apply(self, ack: CommandAck) -> CommandOutcome | None:
        """Note an answer; None if the command is not ours or was answered for good before."""
        outcome = self._outcomes.get(ack.id)
        if outcome is None or outcome.state in {CommandState.DONE, CommandState.FAILED, CommandState.REJECTED}:
            return None
        error = clean(ack.error, 1000) if ack.error else None
        return self._set(replace(outcome, state=CommandState(ack.state.value), error=error))

    def give_up(self, command_id: str) -> CommandOutcome | None:
        """No answer is coming any more."""
        outcome = self._outcomes.get(command_id)
        if outcome is None or outcome.state.final:
            return None
        return self._set(replace(outcome, state=CommandState.UNKNOWN))

    def give_up_all(self) -> None:
        for command_id in list(self._outcomes):
            self.give_up(command_id)

    def _set(self, outcome: CommandOutcome) -> CommandOutcome:
        self._outcomes[outcome.id] = outcome
        return outcome
