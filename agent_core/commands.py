"""Orders from the server: known? allowed? already seen? Then carried out, one at a time, and answered.

pause-contract.md, promises 4, 7 and 10: a repeat joins the running one and moves nothing; a cancel interrupts whatever
runs; every command is answered `accepted` or `rejected`, and an accepted one later `done` or `failed`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from agent_core.errors import AgentError, Rejected
from agent_core.model import Phase
from agent_core.pause import PauseSettings
from agent_core.ports import Interrupt, PrinterPort
from agent_core.wire.messages import AckState, Command, CommandAck, CommandName

REMEMBERED = 50
"""Ids of past commands whose last answer is given again."""

_PHASES = {
    CommandName.PAUSE: Phase.PAUSING,
    CommandName.RESUME: Phase.RESUMING,
    CommandName.CANCEL: Phase.CANCELLING,
}


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of a command, for the host's own pages: `said` is the text of a done one, the error of another."""

    command: Command
    state: AckState
    said: str | None


@dataclass(slots=True)
class _Run:
    name: CommandName
    ids: list[str]
    command: Command
    settings: PauseSettings = field(default_factory=PauseSettings)
    interrupt: Interrupt = field(default_factory=Interrupt)


class CommandRunner:
    """Takes commands on the core thread and runs them on the command worker.

    `submit` hands a task to the command worker; `tell` takes each answer; `on_begin(phase)` and `on_end(succeeded)` let
    the core show the transitional text; `on_result` is told how a command ended, whatever else joined it. All are
    called without a lock held and must not block.
    """

    def __init__(
        self,
        printer: PrinterPort,
        submit: Callable[[Callable[[], None]], bool],
        tell: Callable[[CommandAck], None],
        on_begin: Callable[[Phase], None],
        on_end: Callable[[bool], None],
        on_result: Callable[[CommandResult], None] | None = None,
    ) -> None:
        self._printer = printer
        self._submit = submit
        self._tell = tell
        self._on_begin = on_begin
        self._on_end = on_end
        self._on_result = on_result
        # Guards everything below; never held while a port or a callback is called.
        self._lock = threading.Lock()
        self._runs: list[_Run] = []  # the running one and at most a cancel behind it
        self._answers: OrderedDict[str, CommandAck] = OrderedDict()

    def take(self, command: Command) -> None:
        """Answers at once with accepted or rejected, and starts the command if it is to run."""
        ident = command.id or ""
        with self._lock:
            known = self._answers.get(ident) if ident else None
        if known is not None:
            self._tell(known)
            return
        try:
            name, settings = self._understood(command)
            run, is_new = self._admitted(name, command, settings)
        except Rejected as refusal:
            self._result(command, AckState.REJECTED, str(refusal))
            self._answer([ident], AckState.REJECTED, error=str(refusal))
            return
        self._answer([ident], AckState.ACCEPTED)
        if is_new and not self._submit(lambda: self._carry_out(run)):
            self._settle(run, AckState.FAILED, error="the agent is stopping or overloaded; try again")

    def stop(self) -> None:
        """Lets a running command give up."""
        with self._lock:
            runs = list(self._runs)
        for run in runs:
            run.interrupt.set("the agent stops")

    def _understood(self, command: Command) -> tuple[CommandName, PauseSettings]:
        name = command.type
        if name is None:
            raise Rejected(f"this agent does not know the command {command.name[:40]!r}")
        settings = PauseSettings.from_args(command.args) if name is CommandName.PAUSE else PauseSettings()
        return name, settings

    def _admitted(self, name: CommandName, command: Command, settings: PauseSettings) -> tuple[_Run, bool]:
        """The run that this command belongs to, and whether it is a new one. Raises Rejected."""
        ident = command.id or ""
        with self._lock:
            for run in self._runs:
                if run.name is name and not run.interrupt.is_set():
                    run.ids.append(ident)
                    return run, False
            if self._runs and name is not CommandName.CANCEL:
                raise Rejected(f"the printer is still busy with the last command ({self._runs[-1].name.value})")
        self._printer.check(name.value)
        run = _Run(name, [ident], command, settings)
        with self._lock:
            for running in self._runs:
                running.interrupt.set("the print is being cancelled")
            self._runs.append(run)
        return run, True

    def _carry_out(self, run: _Run) -> None:
        state, text, error = AckState.FAILED, None, "a fault in the agent, see its log"
        self._on_begin(_PHASES[run.name])
        try:
            match run.name:
                case CommandName.PAUSE:
                    text = self._printer.pause(run.settings, run.interrupt)
                case CommandName.RESUME:
                    text = self._printer.resume(run.interrupt)
                case CommandName.CANCEL:
                    text = self._printer.cancel(run.interrupt)
            state, error = AckState.DONE, ""
        except AgentError as failure:
            error = str(failure)
        finally:
            # Also after a bug, which the worker logs: a command without an end would block all later ones.
            self._settle(run, state, text=text, error=error or None)

    def _settle(self, run: _Run, state: AckState, *, text: str | None = None, error: str | None = None) -> None:
        with self._lock:
            self._runs.remove(run)
            ids = list(run.ids)
        self._on_end(state is AckState.DONE)
        self._result(run.command, state, text if state is AckState.DONE else error)
        self._answer(ids, state, text=text, error=error)

    def _result(self, command: Command, state: AckState, said: str | None) -> None:
        if self._on_result is not None:
            self._on_result(CommandResult(command, state, said))

    def _answer(self, ids: list[str], state: AckState, *, text: str | None = None, error: str | None = None) -> None:
        for ident in ids:
            if not ident:
                continue  # a public server's command carries no id, and wants no answer
            answer = CommandAck(ident, state, error=error, text=text)
            with self._lock:
                self._answers[ident] = answer
                while len(self._answers) > REMEMBERED:
                    self._answers.popitem(last=False)
            self._tell(answer)
