"""The class of every route of `/v1`: authentication first, bodies as curl sends them, and POSTs that may be repeated
(fleet-api.md §1).

`Idempotency-Key`: a repeat within 24 h gets the first answer, also if the server was killed between doing and answering
(services/fleet/once.py); one that comes while the first is under way waits for it. Refusals had no effect and are not
kept: a repeat is tried anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from reference_server.api.context import context_of
from reference_server.api.fleet.auth import FleetCaller, authenticate
from reference_server.services.errors import Invalid
from reference_server.services.fleet.once import LONGEST_KEY, NO_KEY, KeptAnswers, Once

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

MOST_LOCKS = 1_000
"""Requests with a key that are under way."""


class InFlight:
    """One at a time for each credential and key."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    async def enter(self, which: tuple[str, str]) -> None:
        if which not in self._locks and len(self._locks) >= MOST_LOCKS:
            raise Invalid("Too many requests with an Idempotency-Key are under way; try again.")
        lock, users = self._locks.get(which, (asyncio.Lock(), 0))
        self._locks[which] = (lock, users + 1)
        try:
            await lock.acquire()
        except BaseException:  # a visitor who left: only the count is put right
            self._leave(which)
            raise

    def leave(self, which: tuple[str, str]) -> None:
        self._locks[which][0].release()
        self._leave(which)

    def _leave(self, which: tuple[str, str]) -> None:
        lock, users = self._locks[which]
        if users == 1:
            del self._locks[which]
        else:
            self._locks[which] = (lock, users - 1)


class FleetRoute(APIRoute):
    repeatable = True

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            _read_as_json(request)
            caller = await authenticate(request)
            key = request.headers.get("idempotency-key") if self.repeatable and request.method == "POST" else None
            if key is not None:
                return await _repeatable(request, caller, key, handler)
            return await handler(request)

        return handle


def _read_as_json(request: Request) -> None:
    """`curl -d '{…}'` calls JSON a form, as seed 004's examples do. No call of `/v1` takes such a form, and one that a
    foreign page could send of itself still lacks the CSRF header."""
    given = next((value for name, value in request.scope["headers"] if name == b"content-type"), b"")
    if given.partition(b";")[0].strip().lower() in {b"", b"application/x-www-form-urlencoded"}:
        MutableHeaders(scope=request.scope)["content-type"] = "application/json"


class UnrepeatedRoute(FleetRoute):
    """Of a POST whose answer shows a secret: it is never kept, so an Idempotency-Key has no effect."""

    repeatable = False


def once_of(request: Request) -> Once:
    """What the service that makes something is given."""
    found: Once = getattr(request.state, "once", NO_KEY)
    return found


async def _repeatable(request: Request, caller: FleetCaller, key: str, handler: Handler) -> Response:
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise Invalid.field("Idempotency-Key", f"1 to {LONGEST_KEY} plain characters are needed.")
    fleet = context_of(request).fleet
    which = (caller.credential, key)
    await fleet.in_flight.enter(which)
    try:
        return await _first_or_again(request, Once(*which, await _fingerprint(request)), fleet.answers, handler)
    finally:
        fleet.in_flight.leave(which)


async def _fingerprint(request: Request) -> str:
    """Of what is asked for; of a form with a file, which is read once and may be large, only where it goes."""
    digest = hashlib.sha256(f"{request.method} {request.scope['path']}\n".encode())
    if request.headers.get("content-type", "").startswith("multipart/"):
        digest.update(b"multipart")
    else:
        digest.update(await request.body())
    return digest.hexdigest()


async def _first_or_again(request: Request, once: Once, answers: KeptAnswers, handler: Handler) -> Response:
    known = await run_in_threadpool(answers.find, once.credential, once.key)
    if known is not None:
        if known.request_hash != once.request_hash:
            raise Invalid.field("Idempotency-Key", "This key was used for another request.")
        if known.status:
            headers = {"Idempotent-Replayed": "true"}
            return Response(known.body, known.status, headers, media_type="application/json")
        once = Once(once.credential, once.key, once.request_hash, known.object_id or None)
    request.state.once = once
    response = await handler(request)
    if 200 <= response.status_code < 300:
        body = bytes(response.body).decode("utf-8")
        await run_in_threadpool(answers.keep, once, response.status_code, body)
    return response
