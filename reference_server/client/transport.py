"""The two clients' own parts: how a call goes over the wire, by blocking or by asyncio. All that they decide is in
retry.py and request.py."""

from __future__ import annotations

import asyncio
import threading
from typing import TypeVar

import httpx

from reference_server.client.call import AsyncRunner, Call, SyncRunner
from reference_server.client.request import Request, Requests
from reference_server.client.retry import Answer, Lost, RateLimit, Retry, Tries, rate_of, result

T = TypeVar("T")

MOST_CONNECTIONS = 10


def _lost(error: httpx.TransportError, request: Request) -> Lost:
    """Without the exception itself, which holds the request and so the key."""
    reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    words = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
    return Lost(f"{request.origin}: {words}", reached)


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()},
                  response.content)  # fmt: skip


class SyncTransport(SyncRunner):
    """Threads may share it."""

    def __init__(self, requests: Requests, retry: Retry, transport: httpx.BaseTransport | None) -> None:
        self._requests, self._retry = requests, retry
        limits = httpx.Limits(max_connections=MOST_CONNECTIONS)
        self._http = httpx.Client(transport=transport, limits=limits, follow_redirects=False)
        self._closed = threading.Event()
        self.rate_limit: RateLimit | None = None

    def run(self, call: Call[T]) -> T:
        request = self._requests.of(call)
        tries = Tries(self._retry, call)
        while True:
            outcome = self._send(request)
            wait = tries.after(outcome)
            if wait is None or self._closed.wait(wait):
                return result(call, tries.final(outcome))

    def _send(self, request: Request) -> Answer | Lost:
        sending = request.upload.open() if request.upload else None
        try:
            headers = {**request.headers, "Content-Length": str(sending.length)} if sending else request.headers
            content = sending.pieces() if sending else request.content
            answer = _answer(
                self._http.request(request.method, request.url, headers=headers, content=content,
                                   timeout=request.patience)
            )  # fmt: skip
            self.rate_limit = rate_of(answer) or self.rate_limit
            return answer  # noqa: TRY300 - whatever follows belongs to the try
        except httpx.TransportError as error:
            return _lost(error, request)
        finally:
            if sending:
                sending.close()

    def close(self) -> None:
        """Also ends a wait for a repeat, whose call then fails."""
        self._closed.set()
        self._http.close()


class AsyncTransport(AsyncRunner):
    def __init__(self, requests: Requests, retry: Retry, transport: httpx.AsyncBaseTransport | None) -> None:
        self._requests, self._retry = requests, retry
        limits = httpx.Limits(max_connections=MOST_CONNECTIONS)
        self._http = httpx.AsyncClient(transport=transport, limits=limits, follow_redirects=False)
        self._closed = asyncio.Event()
        self.rate_limit: RateLimit | None = None

    async def run(self, call: Call[T]) -> T:
        request = self._requests.of(call)
        tries = Tries(self._retry, call)
        while True:
            outcome = await self._send(request)
            wait = tries.after(outcome)
            if wait is None or await self._ends_within(wait):
                return result(call, tries.final(outcome))

    async def _ends_within(self, wait: float) -> bool:
        try:
            await asyncio.wait_for(self._closed.wait(), wait)
        except asyncio.TimeoutError:
            return False
        return True

    async def _send(self, request: Request) -> Answer | Lost:
        sending = await asyncio.to_thread(request.upload.open) if request.upload else None
        try:
            headers = {**request.headers, "Content-Length": str(sending.length)} if sending else request.headers
            content = sending.pieces_later() if sending else request.content
            answer = _answer(
                await self._http.request(request.method, request.url, headers=headers, content=content,
                                         timeout=request.patience)
            )  # fmt: skip
            self.rate_limit = rate_of(answer) or self.rate_limit
            return answer  # noqa: TRY300 - the same
        except httpx.TransportError as error:
            return _lost(error, request)
        finally:
            if sending:
                sending.close()

    async def close(self) -> None:
        """Also ends a wait for a repeat, whose call then fails."""
        self._closed.set()
        await self._http.aclose()
