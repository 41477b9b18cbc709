"""The link's thinking, without a socket: every promise of wire-protocol.md §3.1 and extensions.md."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core import session as module
from agent_core.outbox import Entry
from agent_core.session import Connect, Disconnect, Ping, Refusal, Send, Session
from agent_core.wire import messages as wire
from agent_core.wire.codec import WireError

GREETING = json.dumps(
    {
        "remote_status": {"viewing": False, "should_watch": False},
        "server": {"name": "reference_server", "version": "3", "capabilities": ["event_ack", "command_ack"]},
    }
)
PUBLIC_GREETING = json.dumps({"remote_status": {"viewing": False, "should_watch": False}})


class Waiting:
    """An outbox as the session sees it."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)

    def __call__(self, limit: int, beyond: frozenset[str]) -> list[Entry]:
        return [Entry(ident, f"frame {ident}") for ident in self.ids if ident not in beyond][:limit]


def new_session(*ids: str, uniform: Callable[[], float] = lambda: 1.0) -> tuple[Session, Waiting]:
    waiting = Waiting(*ids)
    return Session(waiting, uniform), waiting


def opened(session: Session, now: float = 0.0, greeting: str = GREETING) -> None:
    assert session.poll(now) == [Connect()]
    session.on_open(now)
    session.on_frame(greeting, now)


def frames(actions: list[module.Action]) -> list[str | bytes]:
    return [action.frame for action in actions if isinstance(action, Send)]


def test_connects_at_once_and_only_once() -> None:
    session, _ = new_session()
    assert session.deadline() == 0.0
    assert session.poll(0.0) == [Connect()]
    assert session.poll(1.0) == []


def test_first_retry_comes_within_a_second_then_full_jitter_to_30_s() -> None:
    session, _ = new_session()
    now, waits = 0.0, []
    for _attempt in range(10):
        session.poll(now)
        session.on_refused(Refusal.RETRY, now)
        deadline = session.deadline()
        assert deadline is not None
        waits.append(deadline - now)
        now = deadline
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 40))
def test_a_wait_is_never_negative_nor_over_30_s(draw: float, attempts: int) -> None:
    session, _ = new_session(uniform=lambda: draw)
    now = 0.0
    for _attempt in range(attempts):
        assert session.poll(now) == [Connect()]
        session.on_refused(Refusal.RETRY, now)
        deadline = session.deadline()
        assert deadline is not None
        assert 0.0 <= deadline - now <= 30.0
        now = deadline


def test_a_stable_connection_resets_the_back_off_and_a_short_one_does_not() -> None:
    session, _ = new_session()
    for lived, expected in ((1.0, 1.0), (1.0, 2.0), (11.0, 1.0)):
        now = session.deadline() or 0.0
        opened(session, now)
        session.on_closed(1006, now + lived)
        deadline = session.deadline()
        assert deadline is not None
        assert deadline - (now + lived) == expected


def test_a_refused_token_is_asked_again_rarely() -> None:
    session, _ = new_session(uniform=lambda: 0.5)
    session.poll(0.0)
    session.on_refused(Refusal.TOKEN, 0.0)
    assert session.deadline() == 225.0


def test_4321_ends_the_session() -> None:
    session, _ = new_session()
    opened(session)
    session.on_closed(4321, 5.0)
    assert session.stopped
    assert session.deadline() is None
    assert session.poll(1e6) == []


def test_a_transport_that_never_answers_is_given_up() -> None:
    session, _ = new_session()
    session.poll(0.0)
    deadline = session.deadline()
    assert deadline == 2 * module.CONNECT_SECONDS
    assert [type(action) for action in session.poll(deadline)] == [Disconnect]


def test_pings_every_20_s_and_notices_a_dead_peer_within_45_s() -> None:
    session, _ = new_session()
    opened(session)
    assert session.poll(19.9) == []
    assert session.deadline() == 20.0
    assert session.poll(20.0) == [Ping()]
    assert session.poll(21.0) == []
    session.on_alive(21.0)
    assert session.deadline() == 41.0
    assert session.poll(41.0) == [Ping()]
    deadline = session.deadline()
    assert deadline is not None
    # The cable was pulled right after the sign of life at 21 s.
    assert deadline - 21.0 <= 45.0
    assert [type(action) for action in session.poll(deadline)] == [Disconnect]
    assert not session.open


def test_events_go_oldest_first_and_before_any_status() -> None:
    session, _ = new_session("a", "b", "c")
    opened(session)
    assert not session.ready_for_status
    assert frames(session.poll(0.0)) == ["frame a", "frame b", "frame c"]
    assert session.ready_for_status


def test_events_beyond_what_the_transport_takes_wait_and_hold_the_status_back() -> None:
    session, waiting = new_session(*(f"{number:02}" for number in range(30)))
    opened(session)
    sent = frames(session.poll(0.0))
    assert sent == [f"frame {number:02}" for number in range(module.UNWRITTEN_LIMIT)]
    assert not session.ready_for_status
    while len(sent) < 30:
        for _frame in range(module.UNWRITTEN_LIMIT):
            session.on_written()
        more = frames(session.poll(0.0))
        if not more:  # the window of unacknowledged events is full: only acks open it
            assert len(sent) == module.EVENTS_IN_FLIGHT
            acked = waiting.ids[: module.EVENTS_IN_FLIGHT]
            session.on_frame(json.dumps({"ack": {"events": acked}}), 0.0)
            waiting.ids = waiting.ids[module.EVENTS_IN_FLIGHT :]
            session.events_added()
        sent += more
    assert sent == [f"frame {number:02}" for number in range(30)]


def test_unacknowledged_events_are_sent_again_after_a_reconnect() -> None:
    session, waiting = new_session("a", "b")
    opened(session)
    session.poll(0.0)
    session.on_frame(json.dumps({"ack": {"events": ["a"]}}), 0.1)
    waiting.ids.remove("a")
    session.on_closed(None, 20.0)
    now = session.deadline() or 0.0
    opened(session, now)
    assert frames(session.poll(now)) == ["frame b"]


def test_without_event_ack_an_event_counts_after_30_s_of_survival() -> None:
    session, _ = new_session("a")
    opened(session, greeting=PUBLIC_GREETING)
    session.poll(0.0)
    assert session.delivered_without_ack(29.9) == ()
    assert session.deadline() == 20.0
    session.on_alive(15.0)
    assert session.deadline() == 30.0
    assert session.delivered_without_ack(30.0) == ("a",)
    assert session.delivered_without_ack(99.0) == ()


def test_with_event_ack_only_the_server_decides() -> None:
    session, _ = new_session("a")
    opened(session)
    session.poll(0.0)
    assert session.delivered_without_ack(1000.0) == ()


def test_a_closed_connection_delivers_nothing() -> None:
    session, _ = new_session("a")
    opened(session, greeting=PUBLIC_GREETING)
    session.poll(0.0)
    session.on_closed(None, 29.0)
    assert session.delivered_without_ack(60.0) == ()


def test_command_acks_go_only_to_a_server_that_speaks_them() -> None:
    ack = wire.CommandAck("x", wire.AckState.DONE)
    ours, _ = new_session()
    opened(ours)
    ours.offer(ack)
    assert [json.loads(frame)["command_ack"]["state"] for frame in frames(ours.poll(0.0))] == ["done"]
    public, _ = new_session()
    opened(public, greeting=PUBLIC_GREETING)
    public.offer(ack)
    assert frames(public.poll(0.5)) == []
    assert frames(public.poll(2.0)) == []


def test_an_ack_waits_for_the_greeting() -> None:
    session, _ = new_session()
    session.poll(0.0)
    session.on_open(0.0)
    session.offer(wire.CommandAck("x", wire.AckState.DONE))
    assert frames(session.poll(0.1)) == []
    session.on_frame(GREETING, 0.2)
    assert len(frames(session.poll(0.2))) == 1


def test_answers_outlive_a_short_break_but_are_bounded() -> None:
    session, _ = new_session()
    for number in range(module.EXTRAS_LIMIT + 5):
        session.offer(wire.PassthruReply(str(number)))
    opened(session)
    refs: list[str] = []
    while more := frames(session.poll(0.0)):
        refs += [json.loads(frame)["passthru"]["ref"] for frame in more]
        for _frame in more:
            session.on_written()
    assert refs == [str(number) for number in range(5, module.EXTRAS_LIMIT + 5)]


def test_long_answers_that_wait_for_the_link_are_bounded_by_their_length() -> None:
    session, _ = new_session()
    for number in range(6):
        session.offer(str(number) * 1024 * 1024)
    opened(session)
    assert [frame[:1] for frame in frames(session.poll(0.0))] == ["2", "3", "4", "5"]
    assert not session.all_written
    for _ in range(4):
        session.on_written()
    assert session.all_written


def test_lines_of_the_terminal_go_last_are_bounded_and_end_with_the_connection() -> None:
    session, _ = new_session()
    session.offer(wire.TerminalFeed("to nobody", 1.0))
    opened(session)
    for number in range(module.FEED_LIMIT + 3):
        session.offer(wire.TerminalFeed(str(number), 1.0))
    session.offer(wire.PassthruReply("7"))
    first = [json.loads(frame)["passthru"] for frame in frames(session.poll(0.0))]
    assert [frame.get("ref") or frame["terminal_feed"]["msg"] for frame in first[:4]] == [
        "7", "(3 lines left out: the connection is slow)", "3", "4",
    ]  # fmt: skip
    assert len(first) == module.UNWRITTEN_LIMIT
    session.on_closed(None, 1.0)
    session.poll(40.0)
    session.on_open(40.0)
    assert [frame for frame in frames(session.poll(40.0)) if "terminal_feed" in frame] == []


def test_an_answer_that_is_too_large_is_answered_all_the_same() -> None:
    session, _ = new_session()
    opened(session)
    session.offer(wire.PassthruReply("7", ret="x" * 2_000_000))
    session.offer(wire.TerminalFeed("x" * 2_000_000, 1.0))
    assert [json.loads(frame) for frame in frames(session.poll(0.0))] == [
        {"passthru": {"ref": "7", "error": "the answer is too large"}}
    ]


def test_a_stuck_socket_holds_statuses_back() -> None:
    session, _ = new_session()
    opened(session)
    session.poll(0.0)
    for _frame in range(module.UNWRITTEN_LIMIT):
        assert session.ready_for_status
        session.status_frame("{}")
    assert not session.ready_for_status
    session.on_written()
    assert session.ready_for_status


def test_remote_status_is_merged_and_viewing_ends_with_the_connection() -> None:
    session, _ = new_session()
    opened(session)
    session.on_frame('{"remote_status": {"viewing": true}}', 1.0)
    session.on_frame('{"remote_status": {"should_watch": true}, "type": "printer.message"}', 1.0)
    assert (session.viewing, session.should_watch) == (True, True)
    session.on_closed(1001, 2.0)
    assert (session.viewing, session.should_watch) == (False, True)


@pytest.mark.parametrize("frame", ["", "[]", "nonsense", "\x00", '{"a": NaN}', "[" * 100_000])
def test_rubbish_harms_nothing(frame: str) -> None:
    session, _ = new_session()
    opened(session)
    with pytest.raises(WireError):
        session.on_frame(frame, 1.0)
    assert session.open


def test_late_news_of_an_old_connection_changes_nothing() -> None:
    session, _ = new_session()
    session.on_closed(4321, 0.0)
    session.on_refused(Refusal.TOKEN, 0.0)
    assert session.deadline() == 0.0
    assert not session.stopped
