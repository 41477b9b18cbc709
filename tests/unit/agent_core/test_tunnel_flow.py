"""Flow control of the tunnel: nobody sends more than there is room for, and everything arrives, whatever the order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.wire.bson import WireError
from agent_core.wire.codec import decode_agent_frame, decode_server_frame, encode
from agent_core.wire.tunnel import (
    MOST_MESSAGE,
    PIECE,
    WINDOW,
    MessageBuilder,
    ReceiveWindow,
    SendWindow,
    TunnelFrame,
    TunnelKind,
    end_to_end,
    joined,
    message_pieces,
)


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 3 * PIECE), max_size=30),
    st.lists(st.integers(1, 2 * WINDOW), min_size=1, max_size=40),
)
def test_a_body_crosses_whole_and_never_more_than_a_window_waits(writes: list[int], reads: list[int]) -> None:
    send, receive = SendWindow(WINDOW), ReceiveWindow()
    to_send, waiting, arrived = sum(writes), 0, 0
    turn = 0
    while arrived < sum(writes):
        while count := send.spend(to_send):
            assert count <= PIECE
            to_send -= count
            receive.arrived(count)  # raises if it is more than there is room for
            waiting += count
            assert waiting <= WINDOW
        assert waiting, "both ends wait for each other"
        taken = min(waiting, reads[turn % len(reads)])
        turn += 1
        waiting -= taken
        arrived += taken
        send.grant(receive.consumed(taken))


def test_more_than_was_granted_is_an_error() -> None:
    receive = ReceiveWindow(100)
    receive.arrived(100)
    with pytest.raises(WireError, match="more came"):
        receive.arrived(1)
    assert receive.consumed(49) == 0
    assert receive.consumed(1) == 50
    receive.arrived(50)


@given(st.binary(max_size=5 * PIECE))
def test_a_message_in_pieces_is_the_message(data: bytes) -> None:
    builder = MessageBuilder()
    found: list[str | bytes] = []
    for piece, more in message_pieces(data):
        frame = TunnelFrame(TunnelKind.MESSAGE, "1", data=piece, more=more)
        assert decode_agent_frame(encode(frame)) == frame == decode_server_frame(encode(frame))[0]
        whole = builder.add(frame)
        if whole is not None:
            found.append(whole)
    assert found == [data]


def test_a_text_may_be_cut_within_a_letter() -> None:
    builder = MessageBuilder()
    data = "ü".encode()
    assert builder.add(TunnelFrame(TunnelKind.MESSAGE, "1", data=data[:1], text=True, more=True)) is None
    assert builder.add(TunnelFrame(TunnelKind.MESSAGE, "1", data=data[1:], text=True)) == "ü"


def test_a_message_without_end_is_given_up() -> None:
    builder = MessageBuilder()
    piece = TunnelFrame(TunnelKind.MESSAGE, "1", data=bytes(PIECE), more=True)
    for _ in range(MOST_MESSAGE // PIECE):
        builder.add(piece)
    with pytest.raises(WireError):
        builder.add(piece)


@given(st.dictionaries(st.sampled_from(["type", "ref", "data", "credit", "headers", "status", "body", "code"]),
                       st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.booleans()
                       | st.lists(st.lists(st.text(max_size=3), max_size=3), max_size=3)))  # fmt: skip
def test_nonsense_is_no_frame_or_a_clear_error(wire: dict[str, object]) -> None:
    for kind in ("data", "request", wire.get("type")):
        found = TunnelFrame.from_wire({**wire, "type": kind})
        if found is not None:
            assert found.credit >= 0
            assert all(len(pair) == 2 for pair in found.headers)


def test_what_breaks_its_bounds_is_refused() -> None:
    with pytest.raises(WireError):
        TunnelFrame.from_wire({"type": "data", "ref": "1", "data": bytes(PIECE + 1)})
    with pytest.raises(WireError):
        TunnelFrame.from_wire({"type": "request", "ref": "1", "headers": [["a", "b"]] * 201})
    assert TunnelFrame.from_wire({"type": "data", "ref": "r" * 65}) is None
    assert TunnelFrame.from_wire({"type": "warp", "ref": "1"}) is None


def test_headers_of_one_connection_stay_there() -> None:
    given_ = (
        ("Connection", "close, X-This"),
        ("X-This", "1"),
        ("TE", "gzip"),
        ("A", "1"),
        ("a", "2"),
        ("", "x"),
        ("B", "1\n2"),
    )
    assert end_to_end(given_, frozenset()) == (("A", "1"), ("a", "2"))
    assert joined((("A", "1"), ("A", "2"), ("Set-Cookie", "x"))) == {"A": "1, 2"}
