"""Commands to a printer and what became of them (wire-protocol.md §3.5, extensions.md)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from agent_core.wire.messages import Command, CommandAck, CommandName, CommandWhy
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
    """`text`: what was really done, in the agent's words; `error`: why not. `attended`: a caller waits for the answer,
    or has got a final one."""

    id: str
    name: CommandName
    initiator: str
    at: datetime
    state: CommandState = CommandState.SENT
    error: str | None = None
    text: str | None = None
    attended: bool = False


def build(
    name: CommandName, printer: Printer, initiator: str, command_id: str | None, why: CommandWhy | None = None
) -> Command:
    """The order as the agent gets it; `tools_off` and `bed_off` are there only when they are wanted (§3.5)."""
    args: dict[str, float | bool] = {}
    if name is CommandName.PAUSE:
        args = {"retract": printer.retract_on_pause, "lift_z": printer.lift_z_on_pause}
        if printer.tools_off_on_pause:
            args["tools_off"] = True
        if printer.bed_off_on_pause:
            args["bed_off"] = True
    return Command(name.value, args, initiator, command_id, why)


class CommandLog:
    """Outcomes of one printer's commands: in the order in which they were given, but one that has ended stands behind
    all that had ended before."""

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
        """What everyone is shown.

        A refused command has changed nothing at the printer, and its caller knows: it does not hide one that is under
        way or has had an effect. Nor does one that may yet be refused within the time that its caller waits.
        """
        newest_first = list(reversed(self._outcomes.values()))
        return next((outcome for outcome in newest_first if not _is_private(outcome)), next(iter(newest_first), None))

    @property
    def ids(self) -> list[str]:
        return list(self._outcomes)

    def apply(self, ack: CommandAck) -> CommandOutcome | None:
        """Note an answer; None if the command is not ours or was answered for good before."""
        outcome = self._outcomes.get(ack.id)
        if outcome is None or outcome.state in {CommandState.DONE, CommandState.FAILED, CommandState.REJECTED}:
            return None
        error = clean(ack.error, 1000) if ack.error else None
        text = clean(ack.text, 1000) if ack.text else None
        return self._set(replace(outcome, state=CommandState(ack.state.value), error=error, text=text))

    def leave(self, command_id: str) -> None:
        """The caller waits no longer; what comes now he learns from `last`."""
        outcome = self._outcomes.get(command_id)
        if outcome is not None and not outcome.state.final:
            self._outcomes[command_id] = replace(outcome, attended=False)

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
        ids = self.ids
        later = ids[ids.index(outcome.id) + 1 :]
        # A pause that fails because of a cancel does not hide the cancel.
        if outcome.state.final and all(self._outcomes[other].state.final for other in later):
            self._outcomes.move_to_end(outcome.id)
        return outcome


def _is_private(outcome: CommandOutcome) -> bool:
    return outcome.attended and outcome.state in {CommandState.SENT, CommandState.REJECTED}
