"""A file server behind the Http port: gives a file out by ranges, and breaks off where it is told to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent_core.errors import AgentError, Unreachable
from agent_core.ports import HttpRequest, HttpResponse

Answer = Callable[["FileServer", HttpRequest], HttpResponse]


def give(
    request: HttpRequest,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    cut_at: int | None = None,
    piece: int = 7,
) -> HttpResponse:
    """As the transport does: body to `receive`, an error where the connection breaks after `cut_at` bytes."""
    take = request.receive(status, headers) if request.receive is not None else None
    if take is None:
        return HttpResponse(status, headers, body)
    sent = body if cut_at is None else body[:cut_at]
    for start in range(0, len(sent), piece):
        take(sent[start : start + piece])
    if cut_at is not None and cut_at < len(body):
        raise Unreachable("the connection broke off")
    return HttpResponse(status, headers, b"")


def says(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    return lambda _server, request: give(request, status, headers or {}, body)


def fails(error: AgentError) -> Answer:
    def answer(_server: FileServer, _request: HttpRequest) -> HttpResponse:
        raise error

    return answer


@dataclass
class FileServer:
    """`cuts`: after how many bytes each exchange breaks off. `first`: answers before the file itself is given."""

    content: bytes
    cuts: list[int] = field(default_factory=list)
    first: list[Answer] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=lambda: {"etag": '"v1"', "content-type": "text/plain"})
    ranges: bool = True
    tells_length: bool = True
    piece: int = 7
    requests: list[HttpRequest] = field(default_factory=list)
    closed: bool = False
    before_each: Callable[[FileServer], None] | None = None

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        if self.closed:
            raise Unreachable("closed")
        if self.before_each is not None:
            self.before_each(self)
        if self.first:
            return self.first.pop(0)(self, request)
        if request.method == "PATCH":
            return HttpResponse(200, {}, b'{"id": 5}')
        cut = self.cuts.pop(0) if self.cuts else None
        found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        same = request.headers.get("If-Range", self.headers.get("etag")) == self.headers.get("etag")
        headers = dict(self.headers)
        if found is None or not self.ranges or not same:
            if self.tells_length:
                headers["content-length"] = str(len(self.content))
            return give(request, 200, headers, self.content, cut, self.piece)
        start = int(found[1])
        headers["content-range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        return give(request, 206, headers, self.content[start:], cut, self.piece)

    def close(self) -> None:
        self.closed = True
