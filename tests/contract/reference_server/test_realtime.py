"""Outboxes, the hub and the command desk, without a network and with a clock of the test's own."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from typing import Any

import pytest

from agent_core.wire.messages import AckState, CommandAck, CommandName
from reference_server.realtime import connections
from reference_server.realtime import hub as hub_module
from reference_server.realtime.command_desk import CommandDesk
from reference_server.realtime.connections import AGENT_QUEUE, RELAY_QUEUE, AgentOutbox, WebOutbox, both
from reference_server.realtime.hub import Hub
from reference_server.realtime.peers import AgentPeer, WebPeer
from reference_server.realtime.rate import hold_back
from reference_server.services.commands import CommandLog, CommandOutcome
from reference_server.services.live import STATUS_LIFE, LivePrinter, LivePrinters
from reference_server.services.model import Print, Printer, PrinterRecord
from tests.unit.reference_server.support import run

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)


def record(printer_id: int = 2, printing: bool = False, **changes: Any) -> PrinterRecord:
    printer = Printer(printer_id, 1, "P", "t", NOW, **changes)
    job = Print(5, 1, printer_id, 7, "a.gcode", NOW) if printing else None
    return PrinterRecord(printer, job, None, 1)


def make_hub(clock: list[float]) -> tuple[Hub, list[str]]:
    rendered: list[str] = []

    def render(live: LivePrinter, base: str) -> str:
        rendered.append(base)
        return json.dumps({"id": live.record.printer.id, "status": live.status})

    return Hub(LivePrinters(), render, lambda: clock[0]), rendered


async def drain(outbox: AgentOutbox | WebOutbox) -> tuple[list[Any], tuple[int, str]]:
    """What is sent, and how it is closed."""
    sent: list[Any] = []
    closed: list[tuple[int, str]] = []

    async def send(frame: str | bytes) -> None:
        sent.append(json.loads(frame))

    async def close(code: int, reason: str) -> None:
        closed.append((code, reason))

    outbox.close(1000, "bye")
    await outbox.run(send, close)
    return sent, closed[0]


def test_an_agent_that_reads_nothing_is_given_up() -> None:
    async def journey() -> None:
        outbox = AgentOutbox()
        assert all(outbox.put(str(number)) for number in range(AGENT_QUEUE))
        assert outbox.put("one too many") is False
        assert outbox.closing
        assert outbox.put("later") is False
        sent, closed = await drain(outbox)
        assert (len(sent), closed[0]) == (AGENT_QUEUE, 1013)

    run(journey)


def test_a_send_that_hangs_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_LIMIT", 0.01)

    async def journey() -> None:
        async def hang(_frame: str | bytes) -> None:
            await asyncio.Event().wait()

        async def close(_code: int, _reason: str) -> None:
            raise AssertionError

        for outbox in (AgentOutbox(), WebOutbox()):
            if isinstance(outbox, AgentOutbox):
                outbox.put("x")
            else:
                outbox.put_state(1, "x")
            with pytest.raises((TimeoutError, asyncio.TimeoutError)):
                await outbox.run(hang, close)

    run(journey)


def test_a_slow_client_gets_the_newest_state_and_the_last_relayed_frames() -> None:
    async def journey() -> None:
        outbox = WebOutbox()
        for number in range(RELAY_QUEUE + 10):
            outbox.put_state(1, f'{{"state": {number}}}')
            outbox.put_relayed(f'{{"relayed": {number}}}')
        outbox.put_state(2, "{}")
        outbox.forget(2)
        sent, closed = await drain(outbox)
        assert [frame for frame in sent if "state" in frame] == [{"state": RELAY_QUEUE + 9}]
        assert sent[0] == {"relayed": 10}
        assert closed == (1000, "bye")

    run(journey)


def test_both_halves_end_together_and_tell_what_went_wrong() -> None:
    async def journey() -> None:
        cancelled = asyncio.Event()

        async def waits() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async def fails() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await both(waits(), fails())
        assert cancelled.is_set()

    run(journey)


def test_holding_back_ends_when_the_connection_does() -> None:
    async def journey() -> None:
        closing = asyncio.Event()
        await hold_back(0, closing)
        await hold_back(0.01, closing)
        closing.set()
        await asyncio.wait_for(hold_back(1000, closing), 5)

    run(journey)


def test_a_change_is_encoded_once_for_all_who_look_by_the_same_address() -> None:
    async def journey() -> None:
        hub, rendered = make_hub([0.0])
        live = hub.live.put(record())
        peers = [WebPeer(1, 2, base) for base in ("a", "a", "a", "b")] + [WebPeer(1, None, "a")]
        for peer in peers:
            hub.attach_web(peer, [live])
        hub.publish(2)
        hub.publish(99)
        hub.relay(99, {})
        frames = [(await drain(peer.outbox))[0][-1] for peer in peers]
        assert frames == [{"id": 2, "status": None}] * 5
        assert sorted(rendered) == ["a", "b"]

    run(journey)


def test_a_client_that_does_not_read_costs_no_encoding_and_gets_the_newest() -> None:
    async def journey() -> None:
        hub, rendered = make_hub([0.0])
        live = hub.live.put(record())
        reader, sleeper = WebPeer(1, 2, "a"), WebPeer(1, 2, "a")
        for peer in (reader, sleeper):
            hub.attach_web(peer, [live])
        sent: list[Any] = []

        came = asyncio.Event()

        async def send(frame: str | bytes) -> None:
            sent.append(json.loads(frame)["status"])
            came.set()

        async def close(_code: int, _reason: str) -> None:
            raise AssertionError

        reading = asyncio.create_task(reader.outbox.run(send, close))
        await asyncio.sleep(0)
        for ts in range(1, 101):
            live.take_status({"_ts": ts}, 0.0, may_be_old=False)
            hub.publish(2)
            while not sent or sent[-1] != {"_ts": ts}:
                came.clear()
                await came.wait()
        reading.cancel()
        written = len(rendered)
        late, _ = await drain(sleeper.outbox)
        assert late == [{"id": 2, "status": {"_ts": 100}}]
        assert len(rendered) == written

    run(journey)


def test_a_client_of_thousands_of_printers_lets_the_others_work() -> None:
    async def journey() -> None:
        outbox, others = WebOutbox(), 0
        for number in range(50):
            outbox.put_state(number, "{}")

        async def send(_frame: str) -> None:
            pass

        async def close(_code: int, _reason: str) -> None:
            pass

        outbox.close(1000, "bye")
        sending = asyncio.create_task(outbox.run(send, close))
        while not sending.done():
            others += 1
            await asyncio.sleep(0)
        assert others >= 50

    run(journey)


def test_an_old_status_is_no_news_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "STATUS_LIFE", 0.05)

    async def journey() -> None:
        clock = [0.0]
        hub, _ = make_hub(clock)
        live = hub.live.put(record())
        viewer = WebPeer(1, 2, "a")
        hub.attach_web(viewer, [live])
        live.take_status({"_ts": 1}, 0.0, may_be_old=False)
        hub.expect_expiry(2)
        hub.expect_expiry(2)
        hub._expire(2)
        assert live.status is not None
        clock[0] = STATUS_LIFE + 1
        hub._cancel_expiry(2)
        hub._expire(2)
        hub._expire(2)
        hub._expire(77)
        sent, _ = await drain(viewer.outbox)
        assert sent == [{"id": 2, "status": None}]
        hub.expect_expiry(2)
        hub.close()
        assert hub._expiries == {}

    run(journey)


def test_the_server_lets_everyone_go_when_it_stops() -> None:
    async def journey() -> None:
        hub, _ = make_hub([0.0])
        agent, viewer = AgentPeer(2), WebPeer(1, 2, "a")
        live = hub.attach_agent(agent, record(printing=True))
        hub.attach_web(viewer, [live])
        hub.close()
        assert (await drain(agent.outbox))[1][0] == 1012
        assert (await drain(viewer.outbox))[1][0] == 1012
        assert agent.closing.is_set()

    run(journey)


def test_an_agent_is_told_only_what_has_changed() -> None:
    async def journey() -> None:
        hub, _ = make_hub([0.0])
        agent, viewer = AgentPeer(2), WebPeer(1, None, "a")
        live = hub.attach_agent(agent, record(printing=True))
        hub.publish(2)
        hub.attach_web(viewer, [live])
        hub.attach_web(WebPeer(1, 2, "a"), [live])
        hub.detach_web(viewer)
        sent, _ = await drain(agent.outbox)
        assert [frame["remote_status"] for frame in sent] == [
            {"viewing": False, "should_watch": True}, {"viewing": True},
        ]  # fmt: skip

    run(journey)


def desk_with(acks_version: str | None) -> tuple[CommandDesk, Hub, LivePrinter, AgentPeer]:
    hub, _ = make_hub([0.0])
    numbers = iter(range(100))
    desk = CommandDesk(hub, lambda: NOW, lambda: f"c{next(numbers)}")
    peer = AgentPeer(2)
    name = "moonraker_obico" if acks_version else None
    live = hub.attach_agent(peer, record(printing=True, agent_name=name, agent_version=acks_version))
    return desk, hub, live, peer


def test_a_full_outbox_is_no_agent() -> None:
    async def journey() -> None:
        desk, _hub, live, peer = desk_with("3.0")
        peer.close(1011, "gone")
        assert await desk.send(live, CommandName.PAUSE, "web") is None
        assert live.commands.last is not None
        assert live.commands.last.state.value == "unknown"

    run(journey)


def told(states: str) -> list[str]:
    """What `last` shows after each step; each step is `<command><state letter>`, a new command begins with s."""
    log, seen = CommandLog(), []
    letters = {"a": AckState.ACCEPTED, "d": AckState.DONE, "f": AckState.FAILED, "r": AckState.REJECTED}
    for step in states.split():
        name, letter = step[0], step[1]
        if letter == "s":
            log.add(CommandOutcome(name, CommandName.PAUSE, "web", NOW, attended=True))
        elif letter == "l":
            log.leave(name)
        elif letter == "g":
            log.give_up(name)
        else:
            log.apply(CommandAck(name, letters[letter]))
        assert log.last is not None
        seen.append(f"{log.last.id} {log.last.state.value}")
    return seen


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ("As Ar", "A sent, A rejected"),  # the only one there is
        ("As Aa Bs Br Ad", "A sent, A accepted, A accepted, A accepted, A done"),
        ("As Ad Bs Br", "A sent, A done, A done, A done"),
        ("As Ad Bs Ba Bd", "A sent, A done, A done, B accepted, B done"),
        ("As Ad Bs Bl Br", "A sent, A done, A done, B sent, B rejected"),  # its caller was gone by then
        ("As Aa Bs Bl Br Ad", "A sent, A accepted, A accepted, B sent, B rejected, A done"),
        ("As Aa Bs Ba Af Bd", "A sent, A accepted, A accepted, B accepted, B accepted, B done"),  # a cancel cuts it off
        ("As Aa Bs Af Br", "A sent, A accepted, A accepted, A failed, A failed"),
        ("As Ag Bs Bg", "A sent, A unknown, A unknown, B unknown"),
    ],
)
def test_a_refused_command_hides_none_that_had_an_effect(steps: str, shown: str) -> None:
    assert ", ".join(told(steps)) == shown


def test_the_final_word_ends_the_wait_and_strangers_do_not() -> None:
    async def journey() -> None:
        desk, _hub, live, _peer = desk_with("3.0")
        sending = asyncio.ensure_future(desk.send(live, CommandName.PAUSE, "web"))
        await asyncio.sleep(0)
        desk.answered(live, CommandAck("nobody's", AckState.DONE))
        desk.answered(live, CommandAck("c0", AckState.ACCEPTED))
        desk.answered(live, CommandAck("c0", AckState.DONE))
        desk.answered(live, CommandAck("c0", AckState.FAILED, "too late"))
        outcome = await asyncio.wait_for(sending, 1)
        assert outcome is not None
        assert (outcome.state.value, outcome.error) == ("done", None)
        desk.agent_lost(live)

    run(journey)
