"""Orders from the server, one at a time and each answered (pause-contract.md, promises 4, 7, 10)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent_core import commands as module
from agent_core.commands import CommandResult, CommandRunner
from agent_core.errors import CommandFailed, Rejected
from agent_core.model import Phase
from agent_core.pause import PauseSettings
from agent_core.ports import Interrupt
from agent_core.wire.messages import Command, CommandAck


class Printer:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.interrupts: list[Interrupt] = []
        self.refuse: dict[str, str] = {}
        self.fail: Exception | None = None
        self.during: Callable[[], None] = lambda: None
        self.settings: PauseSettings | None = None

    def check(self, command: str) -> None:
        if command in self.refuse:
            raise Rejected(self.refuse[command])

    def _do(self, name: str, interrupt: Interrupt) -> str:
        self.calls.append(name)
        self.interrupts.append(interrupt)
        during, self.during = self.during, lambda: None
        during()
        if self.fail is not None:
            raise self.fail
        if interrupt.is_set():
            raise CommandFailed(f"given up: {interrupt.reason}")
        return f"{name} done"

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        self.settings = settings
        return self._do("pause", interrupt)

    def resume(self, interrupt: Interrupt) -> str:
        return self._do("resume", interrupt)

    def cancel(self, interrupt: Interrupt) -> str:
        return self._do("cancel", interrupt)


class Bench:
    def __init__(self) -> None:
        self.printer = Printer()
        self.queue: list[Callable[[], None]] = []
        self.acks: list[CommandAck] = []
        self.phases: list[Phase] = []
        self.ends: list[bool] = []
        self.accepting = True
        self.results: list[CommandResult] = []
        self.runner = CommandRunner(
            self.printer, self._submit, self.acks.append, self.phases.append, self.ends.append, self.results.append
        )

    def _submit(self, task: Callable[[], None]) -> bool:
        if self.accepting:
            self.queue.append(task)
        return self.accepting

    def take(self, name: str, ident: str | None = "1", **args: object) -> None:
        self.runner.take(Command(name, args, "api", ident))

    def work(self) -> None:
        while self.queue:
            self.queue.pop(0)()

    def answers(self) -> list[tuple[str, str, str | None]]:
        return [(ack.id, ack.state.value, ack.error or ack.text) for ack in self.acks]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_host_learns_how_each_command_ended(bench: Bench) -> None:
    bench.take("pause", ident=None)
    bench.take("pause")  # joins it
    bench.work()
    bench.printer.fail = CommandFailed("the heaters were not back")
    bench.take("resume", "2")
    bench.work()
    bench.printer.refuse["cancel"] = "nothing prints"
    bench.take("cancel", "3")
    told = [(found.command.name, found.state.value, found.said) for found in bench.results]
    assert told == [
        ("pause", "done", "pause done"),
        ("resume", "failed", "the heaters were not back"),
        ("cancel", "rejected", "nothing prints"),
    ]


def test_accepted_then_done_with_what_was_done(bench: Bench) -> None:
    bench.take("pause", retract=6.5, lift_z=2.5, tools_off=True)
    assert bench.answers() == [("1", "accepted", None)]
    bench.work()
    assert bench.answers()[1:] == [("1", "done", "pause done")]
    assert bench.printer.settings == PauseSettings(6.5, 2.5, tools_off=True)
    assert (bench.phases, bench.ends) == ([Phase.PAUSING], [True])


@pytest.mark.parametrize(("name", "phase"), [("resume", Phase.RESUMING), ("cancel", Phase.CANCELLING)])
def test_the_other_commands(bench: Bench, name: str, phase: Phase) -> None:
    bench.take(name)
    bench.work()
    assert (bench.printer.calls, bench.phases) == ([name], [phase])


def test_a_failure_is_told_in_the_printers_own_words(bench: Bench) -> None:
    bench.printer.fail = CommandFailed("Must home axis first")
    bench.take("resume")
    bench.work()
    assert bench.answers()[-1] == ("1", "failed", "Must home axis first")
    assert bench.ends == [False]


@pytest.mark.parametrize("args", [{"retract": -1}, {"retract": 51}, {"lift_z": float("nan")}, {"lift_z": "x"}])
def test_absurd_settings_are_rejected_before_anything_moves(bench: Bench, args: dict[str, object]) -> None:
    bench.runner.take(Command("pause", args, "api", "1"))
    bench.work()
    assert [state for _, state, _ in bench.answers()] == ["rejected"]
    assert bench.printer.calls == []


def test_what_makes_no_sense_now_is_rejected(bench: Bench) -> None:
    bench.printer.refuse["pause"] = "nothing is being printed"
    bench.take("pause")
    bench.take("explode", "2")
    assert [(ident, state) for ident, state, _ in bench.answers()] == [("1", "rejected"), ("2", "rejected")]
    assert bench.queue == []


def test_a_repeated_id_gets_the_last_answer_and_runs_nothing(bench: Bench) -> None:
    bench.take("pause")
    bench.take("pause")
    bench.work()
    bench.take("pause")
    assert [state for _, state, _ in bench.answers()] == ["accepted", "accepted", "done", "done"]
    assert bench.printer.calls == ["pause"]


def test_the_same_command_again_joins_the_running_one(bench: Bench) -> None:
    bench.printer.during = lambda: bench.take("pause", "2")
    bench.take("pause", "1")
    bench.work()
    assert bench.printer.calls == ["pause"]
    assert bench.answers() == [
        ("1", "accepted", None), ("2", "accepted", None), ("1", "done", "pause done"), ("2", "done", "pause done")
    ]  # fmt: skip


def test_another_command_meanwhile_is_rejected(bench: Bench) -> None:
    bench.printer.during = lambda: bench.take("resume", "2")
    bench.take("pause", "1")
    bench.work()
    assert bench.printer.calls == ["pause"]
    assert ("2", "rejected") in [(ident, state) for ident, state, _ in bench.answers()]


def test_a_cancel_interrupts_whatever_runs(bench: Bench) -> None:
    bench.printer.during = lambda: bench.take("cancel", "2")
    bench.take("resume", "1")
    bench.work()
    assert bench.printer.calls == ["resume", "cancel"]
    assert bench.answers()[-2:] == [
        ("1", "failed", "given up: the print is being cancelled"), ("2", "done", "cancel done")
    ]  # fmt: skip


def test_after_a_cancel_an_interrupted_command_is_not_joined(bench: Bench) -> None:
    def meanwhile() -> None:
        bench.take("cancel", "2")
        bench.take("pause", "3")
        bench.take("cancel", "4")

    bench.printer.during = meanwhile
    bench.take("pause", "1")
    bench.work()
    assert bench.printer.calls == ["pause", "cancel"]
    states = {ident: state for ident, state, _ in bench.answers()}
    assert states == {"1": "failed", "2": "done", "3": "rejected", "4": "done"}


def test_stopping_lets_a_running_command_give_up(bench: Bench) -> None:
    bench.printer.during = bench.runner.stop
    bench.take("pause")
    bench.work()
    assert bench.answers()[-1] == ("1", "failed", "given up: the agent stops")


def test_a_worker_that_takes_no_more_is_a_failure_in_words(bench: Bench) -> None:
    bench.accepting = False
    bench.take("pause")
    assert [state for _, state, _ in bench.answers()] == ["accepted", "failed"]
    bench.accepting = True
    bench.take("pause", "2")
    bench.work()
    assert bench.answers()[-1] == ("2", "done", "pause done")


def test_a_bug_in_the_port_does_not_block_later_commands(bench: Bench) -> None:
    bench.printer.fail = ZeroDivisionError()
    bench.take("pause")
    with pytest.raises(ZeroDivisionError):
        bench.work()
    assert bench.answers()[-1][:2] == ("1", "failed")
    bench.printer.fail = None
    bench.take("pause", "2")
    bench.work()
    assert bench.answers()[-1] == ("2", "done", "pause done")


def test_a_public_servers_commands_have_no_id_and_get_no_answer(bench: Bench) -> None:
    bench.take("pause", None)
    bench.take("pause", None)
    bench.work()
    bench.take("explode", None)
    assert bench.printer.calls == ["pause"]
    assert bench.acks == []


def test_remembered_answers_are_bounded(bench: Bench) -> None:
    for number in range(module.REMEMBERED + 10):
        bench.take("resume", str(number))
        bench.work()
    assert len(bench.runner._answers) == module.REMEMBERED
