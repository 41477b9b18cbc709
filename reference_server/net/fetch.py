"""A large file from an address that a person typed in, piece by piece (guard.py says what is never fetched).

Redirects are followed, at most MOST_REDIRECTS; each address on the way is looked at like the first, so none leads to a
private one, and none from https to http. All of it is done within one deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from urllib.parse import urljoin, urlsplit

from reference_server.net.guard import FetchFailed, Refused, guarded_response
from reference_server.net.policy import AddressPolicy

MOST_REDIRECTS = 3
PIECE = 512 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class CutOff(FetchFailed):
    """The other side ended before all that it had promised was there."""


class AnswerTooLarge(FetchFailed):
    """It is larger than may be."""


def fetch(
    url: str, sink: Callable[[bytes], None], most_bytes: int, timeout: float, policy: AddressPolicy,
    clock: Callable[[], float] = time.monotonic,
) -> str:  # fmt: skip
    """The whole file to `sink`; the address that it came from in the end. Raises Refused, FetchFailed, what the sink
    raises."""
    deadline = clock() + timeout
    for _ in range(MOST_REDIRECTS + 1):
        with guarded_response("GET", url, timeout=max(0.001, deadline - clock()), policy=policy, clock=clock) as answer:
            if answer.status not in _REDIRECTS:
                _read(answer, urlsplit(url).hostname or "", sink, most_bytes)
                return url
            url = _next(url, answer.headers.get("location", ""))
    raise FetchFailed(f"the address leads on more than {MOST_REDIRECTS} times")


def _next(url: str, location: str) -> str:
    if not location:
        raise FetchFailed("the address leads on to nowhere")
    try:
        following = urljoin(url, location)
    except ValueError:
        raise Refused("the address leads on to no usable URL") from None
    if url.startswith("https:") and not following.startswith("https:"):
        raise Refused("the address leads on to one without encryption")
    return following


def _read(answer: HTTPResponse, host: str, sink: Callable[[bytes], None], most_bytes: int) -> None:
    if answer.status != 200:
        raise FetchFailed(f"{host} answers {answer.status}")
    length = answer.headers.get("content-length", "")
    promised = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None
    if promised is not None and promised > most_bytes:
        raise AnswerTooLarge(f"the file is larger than {most_bytes} bytes")
    came = 0
    while True:
        try:
            piece = answer.read(PIECE)
        except HTTPException:
            raise CutOff(f"{host} ended in the middle of the file") from None
        if not piece:
            break
        came += len(piece)
        if came > most_bytes:
            raise AnswerTooLarge(f"the file is larger than {most_bytes} bytes")
        sink(piece)
    if promised is not None and came < promised:
        raise CutOff(f"{host} ended after {came} of {promised} bytes")
