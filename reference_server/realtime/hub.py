"""Who is connected to which printer, and what reaches whom. One event loop, no lock, no SQL.

A change of a printer is encoded once for all web clients that know the server by the same address, when the first of
them is ready for it; each client's outbox keeps the newest state only, so a slow one holds up nobody and costs nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from agent_core.wire.codec import encode_json
from agent_core.wire.messages import CLOSE_DUPLICATE, Capability, RemoteStatus, ServerInfo
from reference_server import NAME, VERSION
from reference_server.realtime.connections import LateFrame
from reference_server.realtime.peers import AgentPeer, WebPeer
from reference_server.services.live import STATUS_LIFE, LivePrinter, LivePrinters
from reference_server.services.model import PrinterRecord
from reference_server.services.watching import should_watch

Render = Callable[[LivePrinter, str], str]
"""A printer as the JSON text that web clients get; the second argument is the server's address for links."""

LOST = "The connection to the printer ended before it answered."

MOST_ASKED = 100
"""Calls of one agent whose answers are looked for; it takes far fewer at once."""
LONGEST_REF = 200
"""Characters of a call's `ref` that is remembered."""

LIST_KEY = 0
"""The outbox key of `{"printers": […]}`; printers' ids begin at 1."""

CAPABILITIES = frozenset({
    Capability.EVENT_ACK, Capability.COMMAND_ACK, Capability.COMMAND_WHY, Capability.TUNNEL_STREAM,
    Capability.JOB_ORDER,
})  # fmt: skip


class Hub:
    def __init__(
        self, live: LivePrinters, render: Render, clock: Callable[[], float], render_shared: Render | None = None
    ) -> None:
        """`render_shared`: what a share shows; None: the same."""
        self.live = live
        self._render, self._render_shared, self._clock = render, render_shared or render, clock
        self._agents: dict[int, AgentPeer] = {}
        self._viewers: dict[int, set[WebPeer]] = {}  # by printer
        self._overviews: dict[int, set[WebPeer]] = {}  # by user
        self._expiries: dict[int, asyncio.TimerHandle] = {}
        self.on_revoke: Callable[[str], None] = lambda _credential: None
        """Told of every credential that has ended."""
        self.on_news: Callable[[LivePrinter], None] = lambda _live: None
        """Told of every change of a printer, each status among them."""

    # --- agents --------------------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """Agents and web clients that are connected."""
        groups = (*self._viewers.values(), *self._overviews.values())
        return len(self._agents), sum(len(group) for group in groups)

    def agent(self, printer_id: int) -> AgentPeer | None:
        return self._agents.get(printer_id)

    def attach_agent(self, peer: AgentPeer, record: PrinterRecord) -> LivePrinter:
        """The newest connection wins: an older one is closed with 4321. Greets the agent."""
        older = self._agents.get(peer.printer_id)
        self._agents[peer.printer_id] = peer
        if older is not None:
            older.close(CLOSE_DUPLICATE, "another agent uses the same token")
        live = self.live.put(record)
        live.agent_connected, live.online_since = True, peer.since
        peer.told_viewing, peer.told_should_watch = self.is_viewed(live), should_watch(live.record)
        status = RemoteStatus(peer.told_viewing, peer.told_should_watch)
        peer.outbox.put(encode_json({**status.to_wire(), **ServerInfo(NAME, VERSION, CAPABILITIES).to_wire()}))
        self.publish(peer.printer_id)
        return live

    def detach_agent(self, peer: AgentPeer) -> bool:
        """The connection is over. If it was the printer's last, the printer is offline now (then True)."""
        unanswered, peer.asked = list(peer.asked or ()), None
        for ref in unanswered:
            self.relay(peer.printer_id, {"ref": ref, "error": LOST})
        if self._agents.get(peer.printer_id) is not peer:
            return False
        del self._agents[peer.printer_id]
        live = self.live.get(peer.printer_id)
        if live is not None:
            live.agent_connected, live.online_since = False, None
            live.forget_status()
            live.commands.give_up_all()
            self.publish(peer.printer_id)
        return True

    def tell_agent(self, printer_id: int, message: dict[str, Any]) -> bool:
        """False: there is no agent to tell."""
        peer = self._agents.get(printer_id)
        return peer is not None and peer.outbox.put(encode_json(message))

    def ask_agent(self, printer_id: int, call: dict[str, Any]) -> bool:
        """A viewer's call; False: there is no agent. Should the agent go without answering it, viewers are told."""
        ref, peer = call.get("ref"), self._agents.get(printer_id)
        if peer is not None and isinstance(ref, str) and len(ref) <= LONGEST_REF:
            peer.asked = peer.asked if peer.asked is not None else {}
            peer.asked[ref] = None
            while len(peer.asked) > MOST_ASKED:
                del peer.asked[next(iter(peer.asked))]
        return self.tell_agent(printer_id, {"passthru": call})

    def drop_agent(self, printer_id: int, reason: str) -> None:
        """Close an agent whose token is no good any more; it may come back and is refused then."""
        if (peer := self._agents.get(printer_id)) is not None:
            peer.close(1008, reason)

    # --- web clients ---------------------------------------------------------------------------------------------

    def attach_web(self, peer: WebPeer, printers: Iterable[LivePrinter]) -> None:
        """`printers`: what the client looks at; it is shown at once."""
        printers = list(printers)
        if peer.printer_id is None:
            self._overviews.setdefault(peer.user_id, set()).add(peer)
            peer.outbox.put_state(LIST_KEY, _list_frame(printers))
        else:
            self._viewers.setdefault(peer.printer_id, set()).add(peer)
        for live in printers:
            self.show(peer, live)
            self._tell_remote_status(live)

    def detach_web(self, peer: WebPeer) -> None:
        groups, key = (self._overviews, peer.user_id) if peer.printer_id is None else (self._viewers, peer.printer_id)
        group = groups.get(key, set())
        group.discard(peer)
        if not group:
            groups.pop(key, None)
        for printer_id in self._agents if peer.printer_id is None else (peer.printer_id,):
            if (live := self.live.get(printer_id)) is not None:
                self._tell_remote_status(live)

    def revoke(self, credential: str, reason: str) -> None:
        """Who came in with it gets no further word and is let go."""
        self.on_revoke(credential)
        for group in (*self._viewers.values(), *self._overviews.values()):
            for peer in group:
                if peer.credential == credential:
                    peer.outbox.clear()
                    peer.close(1008, reason)

    def show(self, peer: WebPeer, live: LivePrinter) -> None:
        peer.sent_at = self._clock()
        peer.outbox.put_state(live.record.printer.id, self._frame(peer, live))

    def _frame(self, peer: WebPeer, live: LivePrinter) -> LateFrame:
        render, base = self._render_shared if peer.shared else self._render, peer.base
        return LateFrame(lambda: render(live, base))

    def is_viewed(self, live: LivePrinter) -> bool:
        printer = live.record.printer
        return bool(self._viewers.get(printer.id) or self._overviews.get(printer.user_id))

    def watchers(self, live: LivePrinter) -> list[WebPeer]:
        printer = live.record.printer
        return [*self._viewers.get(printer.id, ()), *self._overviews.get(printer.user_id, ())]

    # --- news ----------------------------------------------------------------------------------------------------

    def update(self, record: PrinterRecord) -> LivePrinter:
        """A stored printer has changed: everyone learns it."""
        live = self.live.put(record)
        self.publish(record.printer.id)
        return live

    def publish(self, printer_id: int) -> None:
        live = self.live.get(printer_id)
        if live is None:
            return
        self.on_news(live)
        self._tell_remote_status(live)
        if not self.is_viewed(live):
            return
        frames: dict[tuple[str, bool], LateFrame] = {}
        now = self._clock()
        for peer in self.watchers(live):
            kind = (peer.base, peer.shared)
            if kind not in frames:
                frames[kind] = self._frame(peer, live)
            peer.sent_at = now
            peer.outbox.put_state(printer_id, frames[kind])

    def relay(self, printer_id: int, passthru: Any) -> None:
        """A passthru frame of an agent, for everyone who looks at its printer."""
        agent = self._agents.get(printer_id)
        if agent is not None and agent.asked and isinstance(ref := passthru.get("ref"), str):
            agent.asked.pop(ref, None)
        live = self.live.get(printer_id)
        if live is None:
            return
        watchers = [peer for peer in self.watchers(live) if not peer.shared]
        if not watchers:
            return
        single = json.dumps({"passthru": passthru, "type": "web.message"})
        listed = json.dumps({"passthru": passthru, "type": "web.message", "printer_id": printer_id})
        for peer in watchers:
            peer.outbox.put_relayed(listed if peer.printer_id is None else single)

    def printers_changed(self, user_id: int, printers: Iterable[LivePrinter]) -> None:
        """A printer was added to or removed from the user's list."""
        printers = list(printers)
        for peer in self._overviews.get(user_id, ()):
            peer.outbox.put_state(LIST_KEY, _list_frame(printers))
            for live in printers:
                self.show(peer, live)

    def printer_gone(self, printer_id: int, user_id: int) -> None:
        """The printer was deleted: its agent and its viewers are let go."""
        if (agent := self._agents.pop(printer_id, None)) is not None:
            agent.close(1000, "the printer was deleted")
        frame = json.dumps({"deleted": printer_id})
        for peer in self._viewers.pop(printer_id, set()):
            peer.outbox.put_state(printer_id, frame)
            peer.close(1000, "the printer was deleted")
        for peer in self._overviews.get(user_id, ()):
            peer.outbox.forget(printer_id)
            peer.outbox.put_relayed(frame)
        self._cancel_expiry(printer_id)
        self.live.remove(printer_id)

    def expect_expiry(self, printer_id: int) -> None:
        """Look again when the status is no news any more. One timer a printer, moved only when it goes off."""
        if printer_id not in self._expiries:
            self._arm(printer_id, STATUS_LIFE)

    def _arm(self, printer_id: int, delay: float) -> None:
        self._expiries[printer_id] = asyncio.get_running_loop().call_later(delay, self._expire, printer_id)

    def _expire(self, printer_id: int) -> None:
        self._expiries.pop(printer_id, None)
        live = self.live.get(printer_id)
        if live is None or live.packed is None:
            return
        now = self._clock()
        if live.expire_status(now):
            self.publish(printer_id)
        else:
            self._arm(printer_id, max(0.1, live.status_at + STATUS_LIFE - now))

    def _cancel_expiry(self, printer_id: int) -> None:
        if (handle := self._expiries.pop(printer_id, None)) is not None:
            handle.cancel()

    def _tell_remote_status(self, live: LivePrinter) -> None:
        """What has changed for the agent, if anything (§3.5)."""
        peer = self._agents.get(live.record.printer.id)
        if peer is None:
            return
        viewing, watch = self.is_viewed(live), should_watch(live.record)
        if viewing == peer.told_viewing and watch == peer.told_should_watch:
            return
        news = RemoteStatus(
            viewing if viewing != peer.told_viewing else None, watch if watch != peer.told_should_watch else None
        )
        peer.told_viewing, peer.told_should_watch = viewing, watch
        peer.outbox.put(encode_json(news.to_wire()))

    def close(self) -> None:
        """The server stops: everyone is told to come back later (1012)."""
        for printer_id in list(self._expiries):
            self._cancel_expiry(printer_id)
        for agent in list(self._agents.values()):
            agent.close(1012, "the server restarts")
        for group in (*self._viewers.values(), *self._overviews.values()):
            for peer in group:
                peer.close(1012, "the server restarts")


def _list_frame(printers: Iterable[LivePrinter]) -> str:
    return json.dumps({"printers": [live.record.printer.id for live in printers]})
