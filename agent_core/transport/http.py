"""The Http port on the standard library's http.client.

Not on urllib3 or requests: beside websocket-client they cost 3 and 8 MB of memory, and neither can end an exchange
at a deadline or from another thread. Redirects are not followed, answers are not decompressed (none is asked for),
proxies come from the environment and never serve hosts of the own network.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from agent_core.errors import ServerTrouble, Unreachable
from agent_core.ports import HttpRequest, HttpResponse
from agent_core.transport import http_form, tls
from agent_core.transport.http_body import GrowingBody
from agent_core.transport.http_form import Body, Target
from agent_core.transport.http_line import Deadline, Line, failure
from agent_core.transport.proxy import proxy_for

MAX_IDLE = 4
"""Connections kept open between exchanges; the oldest goes first."""

READ_SIZE = 64 * 1024

_Key = tuple[str, str, int, bool]


class HttpClient:
    """Exchanges with any number of peers, from any number of threads. `agent`: what User-Agent says."""

    def __init__(
        self,
        agent: str = "obico-agent",
        *,
        environ: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agent = agent
        self._environ = os.environ if environ is None else environ
        self._monotonic = monotonic
        # Guards the three below; never held during I/O.
        self._lock = threading.Lock()
        self._idle: OrderedDict[_Key, Line] = OrderedDict()
        self._busy: set[Line] = set()
        self._closed = False

    def send(self, request: HttpRequest) -> HttpResponse:
        to = http_form.target(request.url, request.query)
        body = http_form.body(request, os.urandom(16).hex())
        deadline = Deadline(request.timeout, self._monotonic, request.stall)
        # An idle connection was made for somebody else's request, perhaps to where this one must not go.
        fresh = request.peer_allowed is not None
        try:
            return self._exchange(self._take(to, request, fresh=fresh), to, request, body, deadline)
        except _StaleError:
            # The peer closed an idle connection just as we began to use it; nothing was answered. Ask once more on a
            # new one, as browsers do.
            return self._exchange(self._take(to, request, fresh=True), to, request, body, deadline)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, busy = list(self._idle.values()), list(self._busy)
            self._idle.clear()
        for line in busy:
            line.cut()
        for line in idle:
            line.close()

    def _take(self, to: Target, request: HttpRequest, *, fresh: bool = False) -> Line:
        """A connection for one exchange, an idle one if there is any that still lives."""
        with self._lock:
            if self._closed:
                raise Unreachable(f"{to.where}: not asked, since the agent stops")
            line = self._idle.pop(_key(to, request.verify_tls), None)
            if line is not None and (fresh or not line.alive()):
                line.close()
                line = None
            if line is None:
                proxy = proxy_for(to.scheme, to.host, self._environ)
                line = Line(to, proxy, request.verify_tls, request.peer_allowed)
            self._busy.add(line)
            return line

    def _give_back(self, line: Line, keep: bool) -> None:
        with self._lock:
            self._busy.discard(line)
            if not keep or self._closed:
                line.close()
                return
            line.used = True
            key = _key(line.to, line.verify_tls)
            other = self._idle.pop(key, None)
            self._idle[key] = line
            surplus = self._idle.popitem(last=False)[1] if len(self._idle) > MAX_IDLE else None
        for old in (other, surplus):
            if old is not None:
                old.close()

    def _exchange(self, line: Line, to: Target, request: HttpRequest, body: Body, deadline: Deadline) -> HttpResponse:
        keep = False
        answered = False
        try:
            if not line.used:
                line.open(deadline)
            answer = self._ask(line, to, request, body, deadline)
            answered = True
            response, keep = _read(answer, request, line.where)
            if line.is_cut:  # an answer without a length cannot tell its end from ours
                raise ConnectionAbortedError
        except ssl.SSLError as error:
            raise tls.explain(error, line.where) from None
        except TimeoutError:
            seconds = request.timeout if request.stall is None else request.stall
            raise Unreachable(f"{line.where}: no complete answer within {seconds:.3g} s") from None
        except (OSError, http.client.HTTPException) as error:
            if self._closed:
                raise Unreachable(f"{line.where}: given up, since the agent stops") from None
            if line.used and not answered and isinstance(error, ConnectionError):
                raise _StaleError from None
            kind = Unreachable if isinstance(error, OSError | http.client.IncompleteRead) else ServerTrouble
            raise kind(f"{line.where}: {failure(error)}") from None
        else:
            return response
        finally:
            self._give_back(line, keep)

    def _ask(
        self, line: Line, to: Target, request: HttpRequest, body: Body, deadline: Deadline
    ) -> http.client.HTTPResponse:
        authorization = line.proxy.authorization if line.proxy and line.plain_proxy else None
        head = http_form.head(request, to, body, self._agent, authorization, whole=line.plain_proxy)
        refused: ConnectionError | None = None
        try:
            line.send((head, *body.pieces), deadline)
        except ConnectionError as error:
            # A server that takes no such body says so and closes, while we still send; its word is worth more.
            refused = error
        try:
            return line.answer(request.method.upper(), deadline)
        except ConnectionError as error:
            raise refused or error from None


class _StaleError(Exception):
    """An idle connection turned out to be closed."""


def _key(to: Target, verify_tls: bool) -> _Key:
    return to.scheme, to.host, to.port, verify_tls


def _read(answer: http.client.HTTPResponse, request: HttpRequest, where: str) -> tuple[HttpResponse, bool]:
    """The whole answer, and whether the connection can be used again."""
    headers: dict[str, str] = {}
    for name, value in answer.getheaders():
        known = headers.get(name.lower())
        headers[name.lower()] = f"{known}, {value}" if known else value
    if (answer.length or 0) > request.limit:
        raise ServerTrouble(f"{where}: answers with {answer.length} bytes, at most {request.limit} are taken")
    take = request.receive(answer.status, headers) if request.receive is not None else None
    if take is not None:
        return _hand_over(answer, take, request, headers, where)
    cut = False
    with GrowingBody() as body:
        while piece := answer.read1(READ_SIZE):
            body.append(piece)
            if len(body) > request.limit:
                raise ServerTrouble(f"{where}: answers with more than the {request.limit} bytes that are taken")
            if request.until is not None and request.until(headers, body):
                cut = True
                break
        if not cut and answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
        keep = not cut and not answer.will_close
        answer.close()
        return HttpResponse(answer.status, headers, body.piece(0, len(body))), keep


def _hand_over(
    answer: http.client.HTTPResponse,
    take: Callable[[bytes], None],
    request: HttpRequest,
    headers: Mapping[str, str],
    where: str,
) -> tuple[HttpResponse, bool]:
    """The body goes to `take` as it comes: no more than READ_SIZE of it is ever in memory."""
    size = 0
    while piece := answer.read1(READ_SIZE):
        size += len(piece)
        if size > request.limit:
            raise ServerTrouble(f"{where}: answers with more than the {request.limit} bytes that are taken")
        take(piece)
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    keep = not answer.will_close
    answer.close()
    return HttpResponse(answer.status, headers, b""), keep
