"""A printer's own web interface as a site of its own: what arrives on its port (or host name) goes through the tunnel.

Plain ASGI. Only the printer's owner comes in: with a visit that his log-in on the server opened (visitors.py), or with
a name and password that he made for a program. Every other path than ours below `/.obico/` is the web interface's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from agent_core.wire.tunnel import header
from reference_server.background import wait
from reference_server.realtime.connections import both
from reference_server.services.audit import Audit
from reference_server.services.errors import StoreFailed, Throttled
from reference_server.services.live import LivePrinters
from reference_server.services.secrets import sha256
from reference_server.services.throttle import Throttle, address_key
from reference_server.services.tunnels import Tunnels
from reference_server.tunnel import pages, rules
from reference_server.tunnel.desk import Broken, Busy, Head, Request, Socket, TunnelDesk
from reference_server.tunnel.figures import Figures
from reference_server.tunnel.visitors import Visitors

log = logging.getLogger(__name__)

ANSWER_SECONDS = 55.0
"""Until an answer begins (wire-protocol.md §3.5)."""

OPEN_SECONDS = 25.0
GOOD_FOR = 15.0
"""Seconds after which a log-in or a password is looked at again."""

MOST_BODY = 8 * 1024 * 1024
"""Bytes of a request towards an agent that takes bodies in one piece only."""

MOST_REMEMBERED = 2000
TOO_OLD, TIMED_OUT, NO_PRINTER, OVER_LIMIT = 482, 483, 484, 481

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Site:
    """Which printer's, and what the cookie is called there (ports of one host share their cookies)."""

    printer_id: int
    cookie: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """`still`: asks again whether it is good. `basic`: by name and password."""

    basic: bool
    still: Callable[[], Awaitable[bool]]


class TunnelSites:
    def __init__(
        self, desk: TunnelDesk, visitors: Visitors, tunnels: Tunnels, live: LivePrinters, audit: Audit,
        figures: Figures, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._desk, self._visitors, self._tunnels, self._audit = desk, visitors, tunnels, audit
        self._live, self._figures, self._clock = live, figures, clock
        self._wrong = Throttle(20, 600, clock)  # wrong passwords and invitations from one address
        self._rate = Throttle(1500, 60, clock)  # requests to one printer: a page asks for a hundred things at once
        self._good: OrderedDict[tuple[str, ...], float] = OrderedDict()  # until when a look-up counts
        self._noted: OrderedDict[tuple[int, str], None] = OrderedDict()  # keys and addresses in the audit log

    async def __call__(self, site: Site, scope: Scope, receive: Receive, send: Send) -> None:
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if scope["type"] == "websocket":
            await self._websocket(site, scope, given, receive, send)
        elif scope["path"].startswith("/.obico/"):
            await self._own(site, scope, given, receive, send)
        else:
            await self._http(site, scope, given, receive, send)

    # --- who comes in ---

    async def admit(self, site: Site, scope: Scope, given: Headers) -> Admitted | None:
        """Raises Throttled."""
        for cookie in _cookies(given, site.cookie):
            visit = self._visitors.find(site.printer_id, cookie)
            if visit is not None:

                async def session_lasts(session: str = visit.session, user_id: int = visit.user_id) -> bool:
                    return await self._looked_up(
                        ("session", session, str(site.printer_id)),
                        lambda: self._tunnels.session_may(session, user_id, site.printer_id),
                    )

                if await session_lasts():
                    return Admitted(False, session_lasts)
                self._visitors.end(visit.session)
        credentials = rules.basic_credentials(given)
        if credentials is None:
            return None
        return await self._by_password(site, scope, *credentials)

    async def _by_password(self, site: Site, scope: Scope, login: str, password: str) -> Admitted | None:
        address = scope["client"][0] if scope.get("client") else ""
        throttled_as = address_key(address)
        self._wrong.check(throttled_as)

        async def still() -> bool:
            def look() -> bool:
                return self._tunnels.key_for(site.printer_id, login, password) is not None

            return await self._looked_up(("key", str(site.printer_id), login, sha256(password)), look)

        if await still():
            await self._note(site, login, password, address)
            return Admitted(True, still)
        with contextlib.suppress(Throttled):
            self._wrong.take(throttled_as)
        await run_in_threadpool(self._write_note, "tunnel.open", None, login, address, site.printer_id, ok=False)
        return None

    async def _looked_up(self, key: tuple[str, ...], look: Callable[[], bool]) -> bool:
        if self._good.get(key, 0.0) > self._clock():
            return True
        if not await run_in_threadpool(look):
            self._good.pop(key, None)
            return False
        self._good[key] = self._clock() + GOOD_FOR
        self._good.move_to_end(key)
        while len(self._good) > MOST_REMEMBERED:
            self._good.popitem(last=False)
        return True

    def forget(self) -> None:
        """Somebody's right to come in has ended: everything is looked up anew."""
        self._good.clear()

    async def _note(self, site: Site, login: str, password: str, address: str) -> None:
        """In the audit log, once for each key and address while the server runs."""
        key = await run_in_threadpool(self._tunnels.key_for, site.printer_id, login, password)
        if key is None or (key.id, address) in self._noted:
            return
        self._noted[key.id, address] = None
        while len(self._noted) > MOST_REMEMBERED:
            self._noted.popitem(last=False)
        await run_in_threadpool(
            self._write_note, "tunnel.open", key.user_id, f"tunnel key {key.name}", address, site.printer_id, ok=True
        )

    def _write_note(
        self, action: str, user_id: int | None, via: str, address: str, printer_id: int, *, ok: bool
    ) -> None:
        user = self._tunnels.user(user_id) if user_id is not None else None
        try:
            self._audit.note(action, user=user, via=via, address=address, subject=f"printers {printer_id}", ok=ok)
        except StoreFailed as error:
            log.error("the audit log did not take an entry: %s", error)  # noqa: TRY400

    # --- our own pages there ---

    async def _own(self, site: Site, scope: Scope, given: Headers, receive: Receive, send: Send) -> None:
        answer: Response
        if scope["path"] == pages.ENTER and scope["method"] == "GET":
            answer = HTMLResponse(pages.ENTER_PAGE)
        elif scope["path"] == pages.SCRIPT and scope["method"] == "GET":
            answer = Response(pages.ENTER_SCRIPT, media_type="text/javascript")
        elif scope["path"] == pages.ENTER and scope["method"] == "POST" and rules.is_own_page(given):
            answer = await self._enter(site, scope, receive)
        else:
            answer = PlainTextResponse("Not found.", 404)
        for name, value in pages.HEADERS.items():
            answer.headers[name] = value
        await answer(scope, receive, send)

    async def _enter(self, site: Site, scope: Scope, receive: Receive) -> Response:
        address = address_key(scope["client"][0] if scope.get("client") else "")
        try:
            self._wrong.check(address)
        except Throttled as error:
            return PlainTextResponse(str(error), 429, {"retry-after": str(error.retry_after)})
        message = await receive()
        token = (message.get("body") or b"")[:200].decode("ascii", "replace").strip()
        cookie = self._visitors.enter(site.printer_id, token)
        if cookie is None:
            with contextlib.suppress(Throttled):
                self._wrong.take(address)
            return PlainTextResponse("This invitation is not good any more.", 403)
        answer = Response(status_code=204)
        answer.set_cookie(site.cookie, cookie, httponly=True, samesite="strict", secure=scope["scheme"] == "https")
        return answer

    # --- requests ---

    async def _http(self, site: Site, scope: Scope, given: Headers, receive: Receive, send: Send) -> None:
        try:
            admitted = await self.admit(site, scope, given)
        except Throttled as error:
            refusal = PlainTextResponse(str(error), 429, {"retry-after": str(error.retry_after)})
            await self._refuse(refusal, scope, receive, send)
            return
        if admitted is None:
            await self._refuse(_stranger(given), scope, receive, send)
        elif not rules.is_own_page(given) and not _is_plain_visit(scope, given):
            # By cookie, or with a password that the browser remembers: neither is for other sites' pages to use.
            await self._refuse(PlainTextResponse("Another site's page asked for this.", 403), scope, receive, send)
        else:
            await self._through(site, scope, given, receive, send, basic=admitted.basic)

    async def _refuse(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        self._figures.answered(answer.status_code)
        answer.headers["cache-control"] = "no-store"
        await answer(scope, receive, send)

    async def _through(
        self, site: Site, scope: Scope, given: Headers, receive: Receive, send: Send, *, basic: bool
    ) -> None:
        request: Request | None = None
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._figures.answered(message["status"])
            else:
                self._figures.down += len(message.get("body", b""))
            await send(message)

        try:
            await self._check_agent(site.printer_id)
            self._rate.take(str(site.printer_id))
            request = self._desk.request(site.printer_id)
            await self._ask(site, request, scope, given, receive, basic=basic)
            gone = asyncio.ensure_future(_until_gone(receive))
            try:
                either: list[asyncio.Future[Any]] = [request.head, gone]
                await asyncio.wait(either, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not request.head.done():
                    raise _Gone if gone.done() else TimeoutError
                await self._answer(request, request.head.result(), scope, gone, noting)
            finally:
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await gone
        except (_Refused, Broken, Busy, Throttled, TimeoutError, asyncio.TimeoutError) as error:
            if begun:
                # An answer without its end: the web server breaks the connection off, as it should.
                log.info("printer %s: an answer through the tunnel broke off: %s", site.printer_id, error)
                return
            await self._refuse(_refusal(error), scope, receive, send)
        except _Gone:
            return
        finally:
            if request is not None:
                request.close()

    async def _check_agent(self, printer_id: int) -> None:
        """Raises _Refused."""
        live = self._live.get(printer_id)
        if live is None or not self._desk.connected(printer_id):
            raise _Refused(TOO_OLD, "The printer is offline: its agent is not connected.")
        printer = live.record.printer
        if not rules.speaks_tunnel(printer.agent_name, printer.agent_version) and not self._desk.streams(printer_id):
            raise _Refused(TOO_OLD, "The printer's agent is too old to show its web interface: update it.")

    async def _ask(
        self, site: Site, request: Request, scope: Scope, given: Headers, receive: Receive, *, basic: bool
    ) -> None:
        """Raises _Refused, Broken, _Gone."""
        headers = rules.request_headers(
            given, scheme=scope["scheme"], visitor=scope["client"][0] if scope.get("client") else None,
            without_authorization=basic,
        )  # fmt: skip
        path, method = _path(scope), scope["method"]
        length = header(given, "content-length")
        has_body = header(given, "transfer-encoding") is not None or (length is not None and length != "0")
        if not self._desk.streams(site.printer_id):
            data = await self._whole_body(receive) if has_body else b""
            self._figures.up += len(data)
            self._desk.begin_whole(site.printer_id, request, method, path, headers, data)
            return
        self._desk.begin(site.printer_id, request, method, path, headers, body=has_body)
        if has_body:
            await self._send_body(request, receive)

    async def _whole_body(self, receive: Receive) -> bytes:
        taken = bytearray()
        async for piece in _body(receive):
            taken += piece
            if len(taken) > MOST_BODY:
                raise _Refused(413, f"This printer's agent takes at most {MOST_BODY // 2**20} MiB at once.")
        return bytes(taken)

    async def _send_body(self, request: Request, receive: Receive) -> None:
        async for piece in _body(receive):
            self._figures.up += len(piece)
            await request.send_body(piece)
            if request.head.done():
                return  # the web interface has answered without waiting for the rest
        request.end_body()

    async def _answer(
        self, request: Request, head: Head, scope: Scope, gone: asyncio.Future[None], send: Send
    ) -> None:
        bare = scope["method"] == "HEAD" or head.status in {204, 304} or not 200 <= head.status < 600
        keep_length = head.cookies is None and (scope["method"] == "HEAD" or not bare)
        status = head.status if 200 <= head.status < 600 else 502
        headers = rules.response_headers(head.headers, head.cookies, keep_length=keep_length)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if not bare:
            async for piece in _while_there(request, gone):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    # --- WebSockets ---

    async def _websocket(self, site: Site, scope: Scope, given: Headers, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        socket: Socket | None = None
        try:
            admitted = await self.admit(site, scope, given)
            if admitted is None or not rules.is_socket_of_own_page(given, without_browser=admitted.basic):
                await send({"type": "websocket.close", "code": 1008})  # before the upgrade: HTTP 403
                return
            await self._check_agent(site.printer_id)
            headers = rules.request_headers(
                given, scheme="https" if scope["scheme"] == "wss" else "http",
                visitor=scope["client"][0] if scope.get("client") else None, without_authorization=admitted.basic,
            )  # fmt: skip
            socket = self._desk.open(site.printer_id, _path(scope), headers)
            protocol = await asyncio.wait_for(asyncio.shield(socket.opened), OPEN_SECONDS)
        except (_Refused, Broken, Busy, Throttled, TimeoutError, asyncio.TimeoutError) as error:
            log.info("printer %s: no WebSocket through the tunnel: %s", site.printer_id, error)
            if socket is not None:
                socket.close(1001, "not in time")
            await send({"type": "websocket.close", "code": 1013})
            return
        await self._relay(socket, protocol or None, admitted, receive, send)

    async def _relay(
        self, socket: Socket, protocol: str | None, admitted: Admitted, receive: Receive, send: Send
    ) -> None:
        code, reason = 1001, ""

        async def up() -> None:
            nonlocal code, reason
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    code, reason = message.get("code") or 1005, message.get("reason") or ""
                    return
                content = message.get("text")
                if content is None:
                    content = message.get("bytes") or b""
                self._figures.up += len(content)
                await socket.send(content)

        async def down() -> None:
            async for message in socket.messages():
                self._figures.down += len(message)
                key = "text" if isinstance(message, str) else "bytes"
                await send({"type": "websocket.send", key: message})
            told, why = socket.closing
            await send({"type": "websocket.close", "code": _closable(told), "reason": why[:100]})

        async def watch() -> None:
            never = asyncio.Event()
            while await admitted.still():
                await wait(never, GOOD_FOR)
            await send({"type": "websocket.close", "code": 1008, "reason": "the log-in has ended"})

        try:
            await send({"type": "websocket.accept", "subprotocol": protocol})
            await both(up(), both(down(), watch()))
        except (Broken, RuntimeError, OSError) as error:
            log.debug("a WebSocket through the tunnel ended: %s", error)
            with contextlib.suppress(RuntimeError, OSError):
                await send({"type": "websocket.close", "code": 1011})
        finally:
            socket.close(code, reason)


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Gone(Exception):
    """The visitor has."""


def _refusal(error: BaseException) -> Response:
    match error:
        case _Refused():
            return PlainTextResponse(str(error), error.status)
        case Busy():
            return PlainTextResponse("The printer has as many requests at once as it takes.", 503, {"retry-after": "1"})
        case Throttled():
            return PlainTextResponse(str(error), OVER_LIMIT, {"retry-after": str(error.retry_after)})
        case Broken():
            return PlainTextResponse(f"The printer's web interface: {error}.", 502)
    return PlainTextResponse("The printer did not answer in time.", TIMED_OUT)


def _stranger(given: Headers) -> Response:
    """A person gets a page that says where to go; a program is asked for a name and password."""
    if "text/html" in (header(given, "accept") or ""):
        return HTMLResponse(pages.STRANGER_PAGE, 401)
    return PlainTextResponse(
        "A name and password for this printer are needed.", 401, {"www-authenticate": 'Basic realm="printer"'}
    )


def _is_plain_visit(scope: Scope, given: Headers) -> bool:
    """A link from elsewhere may lead to the first page, but not to a path or query that does something."""
    navigates = header(given, "sec-fetch-mode") in {None, "navigate"}
    return scope["method"] == "GET" and scope["path"] == "/" and not scope["query_string"] and navigates


def _cookies(given: Headers, name: str) -> list[str]:
    said = [value for key, value in given if key.lower() == "cookie"]
    pairs = [pair.strip().partition("=") for value in said for pair in value.split(";")]
    return [value[:200] for found, _, value in pairs if found == name][:5]


def _path(scope: Scope) -> str:
    raw = bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{raw}?{query}" if query else raw


def _closable(code: int) -> int:
    return code if code in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= code < 5000 else 1000


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        if piece := message.get("body"):
            yield piece
        if not message.get("more_body"):
            return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


async def _while_there(request: Request, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
    """The answer's pieces, as long as somebody takes them. Raises _Gone, Broken."""
    pieces = request.body()
    try:
        while True:
            following: asyncio.Future[bytes | None] = asyncio.ensure_future(_next(pieces))
            either: list[asyncio.Future[Any]] = [following, gone]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, Broken):
                    await following
                raise _Gone
            piece = following.result()
            if piece is None:
                return
            yield piece
    finally:
        await pieces.aclose()
