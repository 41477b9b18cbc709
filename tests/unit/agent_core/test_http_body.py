"""The body of an answer while it grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_core.transport import http_body
from agent_core.transport.http_body import GrowingBody


@given(st.lists(st.binary(max_size=50)), st.binary(min_size=1, max_size=2), st.integers(0, 60))
def test_as_bytes_would(pieces: list[bytes], wanted: bytes, start: int) -> None:
    with GrowingBody() as body:
        for piece in pieces:
            body.append(piece)
        whole = b"".join(pieces)
        assert len(body) == len(whole)
        assert body.piece(0, len(body)) == whole
        assert body.piece(start, start + 5) == whole[start : start + 5]
        assert body.find(wanted, start) == whole.find(wanted, start)


def test_growing_keeps_what_there_was() -> None:
    chunk = bytes(range(256)) * 256
    with GrowingBody() as body:
        for _ in range(5 * http_body.FIRST_SIZE // len(chunk)):
            body.append(chunk)
        body.append(bytes(10 * http_body.FIRST_SIZE))
        assert body.piece(0, 5 * http_body.FIRST_SIZE) == chunk * (5 * http_body.FIRST_SIZE // len(chunk))
        assert len(body) == 15 * http_body.FIRST_SIZE
