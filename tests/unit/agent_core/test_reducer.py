"""A print's life, event by event."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent_core import reducer
from agent_core.model import (
    ActivePrint,
    AlertRaised,
    ExpectedPrint,
    HostEvent,
    HostSettings,
    Job,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintCancelling,
    PrintEnded,
    PrinterReport,
    PrinterReported,
    PrinterUnknown,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    PrintResumed,
    SettingsReported,
)
from agent_core.reducer import AgentState, Effect, EmitPrintEvent, RegisterFile, RememberPrint, SendStatus
from agent_core.wire.messages import EventType

PRINTING = PrinterReport(phase=Phase.PRINTING, job=Job(name="vase.gcode", signature="ts:1"))
IDLE = PrinterReport(phase=Phase.OPERATIONAL)


def run(*events: HostEvent, state: AgentState | None = None) -> tuple[AgentState, list[Effect]]:
    state = state or reducer.initial(None)
    effects: list[Effect] = []
    for event in events:
        state, more = reducer.reduce(state, event, getattr(event, "at", 0.0))
        effects += more
    return state, effects


def emitted(effects: list[Effect]) -> list[tuple[str, int, float]]:
    return [(effect.type.value, effect.print.ts, effect.at) for effect in effects if isinstance(effect, EmitPrintEvent)]


def remembered(effects: list[Effect]) -> list[ActivePrint | None]:
    return [effect.print for effect in effects if isinstance(effect, RememberPrint)]


def test_at_start_nothing_is_known_not_even_that_nothing_prints() -> None:
    state = reducer.initial(None)
    assert not state.print_known
    assert state.phase is Phase.OFFLINE


def test_a_whole_print() -> None:
    state, effects = run(
        NothingPrints(at=90.0),
        PrintBegan(ts=100, filename="vase.gcode", at=100.5),
        PrinterReported(PRINTING, at=101.0),
        PrintPaused(at=110.0),
        PrintResumed(at=130.0),
        PrintEnded(PrintOutcome.DONE, at=200.0),
    )
    assert emitted(effects) == [
        ("PrintStarted", 100, 100.5), ("PrintPaused", 100, 110.0),
        ("PrintResumed", 100, 130.0), ("PrintDone", 100, 200.0),
    ]  # fmt: skip
    assert state.print is None
    assert state.print_known
    assert remembered(effects)[-1] is None
    done = next(e for e in effects if isinstance(e, EmitPrintEvent) and e.type is EventType.DONE)
    assert done.print.paused_seconds == 20.0


def test_a_cancel_is_told_as_cancelled_then_failed_with_the_old_ts() -> None:
    _, effects = run(
        PrintBegan(100, "a", 100.0), PrintCancelling(150.0), PrintEnded(PrintOutcome.CANCELLED, 151.0)
    )  # fmt: skip
    assert emitted(effects)[1:] == [
        ("PrintCancelling", 100, 150.0), ("PrintCancelled", 100, 151.0), ("PrintFailed", 100, 151.0)
    ]  # fmt: skip


def test_an_error_is_failed_alone_with_its_reason() -> None:
    _, effects = run(PrintBegan(100, "a", 100.0), PrintEnded(PrintOutcome.FAILED, 151.0, "Thermal runaway"))
    failed = effects[-3]
    assert isinstance(failed, EmitPrintEvent)
    assert (failed.type, failed.data) == (EventType.FAILED, {"name": "a", "reason": "Thermal runaway"})
    assert [name for name, _, _ in emitted(effects)] == ["PrintStarted", "PrintFailed"]


def test_the_terminal_event_carries_the_last_figures_if_the_host_has_them() -> None:
    last = replace(PRINTING, z=12.0)
    _, effects = run(PrintBegan(1, "a", 1.0), PrintEnded(PrintOutcome.DONE, 2.0, report=last))
    assert [effect.report for effect in effects if isinstance(effect, EmitPrintEvent)][-1] is last


def test_repeats_have_no_second_effect() -> None:
    state, _ = run(PrintBegan(100, "a", 100.0), PrintPaused(110.0), PrintCancelling(111.0))
    for event in (PrintBegan(100, "a", 120.0), PrintPaused(120.0), PrintCancelling(120.0)):
        after, effects = run(event, state=state)
        assert emitted(effects) == []
        assert after.print == state.print
    ended, _ = run(PrintEnded(PrintOutcome.DONE, 130.0), state=state)
    _, effects = run(PrintEnded(PrintOutcome.DONE, 131.0), PrintResumed(1.0), PrintPaused(1.0), state=ended)
    assert effects == []


def test_a_new_print_closes_one_whose_end_was_not_seen() -> None:
    _, effects = run(PrintBegan(100, "a", 100.0), PrintBegan(900, "b", 900.0))
    assert emitted(effects) == [("PrintStarted", 100, 100.0), ("PrintFailed", 100, 900.0), ("PrintStarted", 900, 900.0)]


def test_a_restarted_agent_keeps_the_print_and_its_identity() -> None:
    before, _ = run(PrintBegan(100, "a", 100.0))
    again = reducer.initial(before.print)
    assert not again.print_known
    for ts in (100, 119, 81):
        state, effects = run(PrintFound(ts, "a", 500.0), state=again)
        assert emitted(effects) == []
        assert state.print == before.print
        assert state.print_known


def test_a_pause_that_came_while_the_agent_was_away_is_told() -> None:
    before, _ = run(PrintBegan(100, "a", 100.0))
    _, effects = run(PrintFound(100, "a", 500.0, paused=True), state=reducer.initial(before.print))
    assert emitted(effects) == [("PrintPaused", 100, 500.0)]
    paused, _ = run(PrintBegan(100, "a", 100.0), PrintPaused(110.0))
    _, effects = run(PrintFound(100, "a", 500.0), state=reducer.initial(paused.print))
    assert emitted(effects) == [("PrintResumed", 100, 500.0)]


def test_another_print_found_closes_the_remembered_one_and_starts_without_event() -> None:
    before, _ = run(PrintBegan(100, "a", 100.0))
    for found in (PrintFound(121, "a", 500.0), PrintFound(105, "b", 500.0, paused=True)):
        state, effects = run(found, state=reducer.initial(before.print))
        assert emitted(effects) == [("PrintFailed", 100, 500.0)]
        assert state.print is not None
        assert state.print.ts == found.ts
        assert (state.print.paused_at is not None) == found.paused


def test_nothing_prints_closes_a_remembered_print_truly() -> None:
    before, _ = run(PrintBegan(100, "a", 100.0))
    _, effects = run(NothingPrints(500.0), state=reducer.initial(before.print))
    assert emitted(effects) == [("PrintFailed", 100, 500.0)]
    cancelling, _ = run(PrintBegan(100, "a", 100.0), PrintCancelling(110.0))
    _, effects = run(NothingPrints(500.0), state=reducer.initial(cancelling.print))
    assert [name for name, _, _ in emitted(effects)] == ["PrintCancelled", "PrintFailed"]


def test_nothing_prints_is_told_once() -> None:
    state, effects = run(NothingPrints(1.0))
    assert effects == [SendStatus(urgent=True)]
    assert run(NothingPrints(2.0), state=state)[1] == []


def test_an_unknown_printer_keeps_the_print_but_not_the_knowledge_of_it() -> None:
    state, effects = run(PrintBegan(100, "a", 100.0), PrinterUnknown("Moonraker does not answer", 120.0))
    assert state.print is not None
    assert not state.print_known
    assert state.report.error == "Moonraker does not answer"
    assert effects[-1] == SendStatus(urgent=True)
    assert run(PrinterUnknown("Moonraker does not answer", 121.0), state=state)[1] == []


def test_a_change_of_phase_is_urgent_and_figures_are_not() -> None:
    state, effects = run(PrinterReported(IDLE, 1.0))
    assert effects == [SendStatus(urgent=True)]
    _, effects = run(PrinterReported(replace(IDLE, z=3.0), 2.0), state=state)
    assert effects == [SendStatus(urgent=False)]
    _, effects = run(PrinterReported(IDLE, 3.0, urgent=True), state=state)
    assert effects == [SendStatus(urgent=True)]


def test_the_file_is_registered_once_its_signature_is_known() -> None:
    _, effects = run(PrinterReported(PRINTING, 1.0), PrintBegan(100, "vase.gcode", 1.0))
    assert [effect for effect in effects if isinstance(effect, RegisterFile)] == [RegisterFile(100, PRINTING.job)]
    late, effects = run(
        PrintBegan(100, "vase.gcode", 1.0), PrinterReported(PRINTING, 2.0), PrinterReported(PRINTING, 3.0)
    )  # fmt: skip
    assert [effect for effect in effects if isinstance(effect, RegisterFile)] == [RegisterFile(100, PRINTING.job)]
    known, effects2 = reducer.file_registered(late, 100, 31)
    assert known.print is not None
    assert known.print.g_code_file_id == 31
    assert RememberPrint(known.print) in effects2
    assert reducer.file_registered(known, 100, 31) == (known, ())
    assert reducer.file_registered(known, 999, 5) == (known, ())
    _, effects = run(PrintFound(100, "vase.gcode", 9.0), state=replace(known, print_known=False))
    assert not [effect for effect in effects if isinstance(effect, RegisterFile)]


def test_a_print_is_never_linked_to_the_file_that_was_selected_before() -> None:
    """OctoPrint tells of a print's begin up to half a second before its data name the new file."""

    def registered(*jobs: Job, of: str) -> list[Job]:
        first, *rest = (PrinterReported(replace(PRINTING, job=job), float(at)) for at, job in enumerate(jobs, 1))
        _, effects = run(first, PrintBegan(100, of, 2.0), *rest)
        return [effect.job for effect in effects if isinstance(effect, RegisterFile)]

    old, new = PRINTING.job, Job(name="cup.gcode", path="a/cup.gcode", signature="ts:9")
    assert registered(old, new, new, of="cup.gcode") == [new]
    assert registered(old, new, of="a/cup.gcode") == [new]
    assert registered(old, old, of="cup.gcode") == []
    # The same name again, with another content.
    again = replace(new, signature="ts:10")
    assert registered(new, again, again, of="cup.gcode") == [new, again]


def test_settings_and_alerts_pass_through() -> None:
    told = HostSettings(installed_plugins=("a",))
    state, effects = run(SettingsReported(told, 1.0), SettingsReported(told, 2.0))
    assert effects == [reducer.SendSettings()]
    assert state.settings == told
    alert = AlertRaised("Homing lost", "…", 1.0)
    assert run(alert)[1] == [reducer.TellAlert(alert)]


PAUSED = replace(PRINTING, phase=Phase.PAUSED)


def test_a_command_shows_its_text_until_it_has_ended_and_the_printer_moved_on() -> None:
    state, _ = run(PrintBegan(1, "a", 1.0), PrinterReported(PRINTING, 1.0))
    state = reducer.command_began(state, Phase.PAUSING)
    for report in (replace(PRINTING, z=1.0), PAUSED):  # retraction and lift come after "paused"
        state, _ = run(PrinterReported(report, 2.0), state=state)
        assert state.phase is Phase.PAUSING
    assert reducer.command_ended(state, True, 3.0).phase is Phase.PAUSED


def test_a_resume_that_was_over_before_the_next_report_leaves_no_text() -> None:
    state, _ = run(PrintBegan(1, "a", 1.0), PrinterReported(PRINTING, 1.0))  # the pause in between was not reported yet
    resuming = reducer.command_began(state, Phase.RESUMING)
    assert reducer.command_ended(resuming, True, 2.0).phase is Phase.PRINTING


def test_a_print_that_ends_meanwhile_ends_the_text() -> None:
    state, _ = run(PrintBegan(1, "a", 1.0), PrinterReported(PAUSED, 1.0))
    state = reducer.command_began(state, Phase.RESUMING)
    assert run(PrinterReported(IDLE, 2.0), state=state)[0].phase is Phase.OPERATIONAL


def test_the_text_of_a_command_is_given_up_after_30_s_or_at_once_after_a_failure() -> None:
    state, _ = run(PrinterReported(PRINTING, 1.0))
    begun = reducer.command_began(state, Phase.CANCELLING)
    assert reducer.command_ended(begun, False, 5.0).phase is Phase.PRINTING
    ended = reducer.command_ended(begun, True, 5.0)
    assert run(PrinterReported(PRINTING, 34.0), state=ended)[0].phase is Phase.CANCELLING
    assert run(PrinterReported(PRINTING, 36.0), state=ended)[0].phase is Phase.PRINTING
    assert reducer.command_ended(state, True, 5.0) is state


EVENTS = st.sampled_from(
    [
        PrintBegan(100, "a", 1.0), PrintBegan(200, "b", 2.0), PrintFound(100, "a", 3.0), PrintPaused(4.0),
        PrintResumed(5.0), PrintCancelling(6.0), PrintEnded(PrintOutcome.DONE, 7.0), NothingPrints(8.0),
        PrintEnded(PrintOutcome.CANCELLED, 9.0), PrinterUnknown("x", 10.0), PrinterReported(PRINTING, 11.0),
    ]
)  # fmt: skip


@given(st.lists(EVENTS, max_size=40))
def test_every_started_print_ends_exactly_once_and_memory_follows(events: list[HostEvent]) -> None:
    state = reducer.initial(None)
    kept: ActivePrint | None = None
    open_prints = 0
    for event in events:
        state, effects = reducer.reduce(state, event, 0.0)
        for effect in effects:
            if isinstance(effect, RememberPrint):
                open_prints += (effect.print is not None and kept is None) - (effect.print is None and kept is not None)
                kept = effect.print
            if isinstance(effect, EmitPrintEvent) and effect.type is EventType.CANCELLED:
                assert EventType.FAILED in [e.type for e in effects if isinstance(e, EmitPrintEvent)]
        assert kept == state.print
        assert open_prints in {0, 1}


def test_the_print_of_an_order_says_so_once() -> None:
    """A farm ties it to the order in the transaction that makes the print."""
    expected = ExpectedPrint("Obico_Upload/vase.gcode", 5, "att_1")
    for told in ("Obico_Upload/vase.gcode", "vase.gcode"):
        waiting = replace(reducer.initial(None), expected=expected)
        state, effects = run(PrintBegan(100, told, 100.5), state=waiting)
        (event,) = [effect for effect in effects if isinstance(effect, EmitPrintEvent)]
        assert (event.data, event.print.g_code_file_id) == ({"name": told, "order": "att_1"}, 5)
        assert remembered(effects) == [state.print]
        assert not [effect for effect in effects if isinstance(effect, RegisterFile)]
        state, effects = run(PrintEnded(PrintOutcome.DONE, 200.0), PrintBegan(300, told, 300.5), state=state)
        assert all("order" not in effect.data for effect in effects if isinstance(effect, EmitPrintEvent))
    state, effects = run(PrintBegan(100, "other.gcode", 100.5), state=replace(reducer.initial(None), expected=expected))
    assert state.print == ActivePrint(100, "other.gcode", 100.5)
    assert state.expected is None
