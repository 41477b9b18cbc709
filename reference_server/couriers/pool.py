"""A few child processes that carry alerts, started when needed and ended when idle."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from reference_server.couriers.process import IDLE, end_child, start_child
from reference_server.net.policy import AddressPolicy
from reference_server.services.alerts.message import Parcel
from reference_server.services.alerts.model import ChannelKind
from reference_server.services.deliveries import Receipt

log = logging.getLogger(__name__)

MOST_CHILDREN = 3
"""At once; each is some 60 MB while it lives."""

TIME = {ChannelKind.WEBHOOK: 15.0, ChannelKind.APPRISE: 60.0, ChannelKind.EMAIL: 60.0}
"""Seconds until a child that does not answer is killed; a web hook has its own limit of 10 s inside."""

EXAMINE_TIME = 20.0


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """The operator's mail server. `security`: starttls, tls or none."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str | None = field(default=None, repr=False)


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.goodbye: asyncio.TimerHandle | None = None

    async def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Raises OSError, ValueError: the child is no good any more."""
        if self.process.stdin is None or self.process.stdout is None:
            raise BrokenPipeError
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        await self.process.stdin.drain()
        line = await self.process.stdout.readline()
        if not line:
            raise BrokenPipeError
        found: dict[str, Any] = json.loads(line)
        return found

    async def end(self) -> None:
        if self.goodbye is not None:
            self.goodbye.cancel()
        await end_child(self.process)


class CourierPool:
    """services.alerts.message.Courier. One event loop; `close` when the server stops."""

    def __init__(self, policy: AddressPolicy, smtp: SmtpSettings | None) -> None:
        self._policy, self._smtp = policy, smtp
        self._seats = asyncio.Semaphore(MOST_CHILDREN)
        self._free: list[_Child] = []
        self._busy: set[_Child] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def has_mail(self) -> bool:
        return self._smtp is not None

    async def carry(self, parcel: Parcel) -> Receipt:
        if parcel.kind is ChannelKind.EMAIL and self._smtp is None:
            return Receipt(False, NO_MAIL, final=True)
        order = asdict(parcel) | {"op": parcel.kind.value, "kind": parcel.kind.value}
        if self._smtp is not None and parcel.kind is ChannelKind.EMAIL:
            order["smtp"] = asdict(self._smtp)
        return await self._ask(order, TIME[parcel.kind])

    async def examine(self, kind: ChannelKind, target: str) -> str | None:
        """Why an address cannot be used; None: it can, as far as that can be told."""
        if kind is ChannelKind.EMAIL:
            return None if self.has_mail else NO_MAIL
        found = await self._ask({"op": "examine", "kind": kind.value, "target": target}, EXAMINE_TIME)
        return None if found.ok else found.detail

    async def close(self) -> None:
        self._closed = True
        for child in [*self._free, *self._busy]:
            await child.end()
        self._free.clear()
        await asyncio.gather(*self._ending)

    async def _ask(self, order: dict[str, Any], seconds: float) -> Receipt:
        order |= {"allow_private": self._policy.allow_private, "allow_loopback": self._policy.allow_loopback}
        async with self._seats:
            if self._closed:
                return Receipt(False, "the server is stopping")
            child = None
            try:
                child = await self._take()
                found = await asyncio.wait_for(child.ask(order), seconds)
            except (TimeoutError, asyncio.TimeoutError):
                return Receipt(False, f"no end within {seconds:g} s", took=seconds)
            except (OSError, ValueError) as error:
                log.warning("a process that carries alerts has failed: %s", type(error).__name__)
                return Receipt(False, "the process that carries it has failed")
            else:
                self._give_back(child)
                child = None
            finally:
                if child is not None:  # not given back: it is no good any more, or nobody waits for its answer
                    self._busy.discard(child)
                    await child.end()
        return Receipt(
            bool(found["ok"]), str(found["detail"]), found["status"], float(found["took"]), bool(found["final"])
        )

    async def _take(self) -> _Child:
        while self._free:
            child = self._free.pop()
            if child.goodbye is not None:
                child.goodbye.cancel()
            if child.process.returncode is None:
                self._busy.add(child)
                return child
        child = _Child(await start_child())
        self._busy.add(child)
        return child

    def _give_back(self, child: _Child) -> None:
        self._busy.discard(child)
        self._free.append(child)
        child.goodbye = asyncio.get_running_loop().call_later(IDLE, self._send_home, child)

    def _send_home(self, child: _Child) -> None:
        if child in self._free:
            self._free.remove(child)
            task = asyncio.ensure_future(child.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


NO_MAIL = "this server cannot send mail: its operator sets --smtp-host and --smtp-from"
