"""Sends commands to agents and keeps what became of them (extensions.md, command_ack)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent_core.wire.messages import CommandAck, CommandName, Commands, CommandWhy
from reference_server.realtime.hub import Hub
from reference_server.realtime.peers import AckSupport, expected_acks
from reference_server.services.clock import Now
from reference_server.services.commands import CommandOutcome, CommandState, build
from reference_server.services.live import LivePrinter

ANSWER_TIME = 2.0
"""Seconds that a REST call waits for the agent's word."""


class CommandDesk:
    def __init__(self, hub: Hub, now: Now, new_id: Callable[[], str]) -> None:
        self._hub, self._now, self._new_id = hub, now, new_id
        # Futures of REST calls that wait, at most ANSWER_TIME each.
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def send(
        self,
        live: LivePrinter,
        name: CommandName,
        initiator: str,
        explain: Callable[[str], CommandWhy] | None = None,
    ) -> CommandOutcome | None:
        """Send it and wait for the final answer, at most ANSWER_TIME. None: no agent is there to be told.

        An agent that is known not to answer gets the plain command, and nobody waits. `explain`, given the address
        that the agent knows us by, says why; only an agent of ours is told (docs/protocol-extensions.md).
        """
        printer = live.record.printer
        peer = self._hub.agent(printer.id)
        if peer is None:
            return None
        if peer.acks is AckSupport.UNTRIED:
            peer.acks = expected_acks(printer.agent_name, printer.agent_version)
        answers = peer.acks is not AckSupport.NO
        outcome = CommandOutcome(
            self._new_id(), name, initiator, self._now(), CommandState.SENT if answers else CommandState.UNKNOWN,
            attended=answers,
        )  # fmt: skip
        why = explain(peer.base) if explain is not None and peer.acks is AckSupport.YES else None
        command = build(name, printer, initiator, outcome.id if answers else None, why)
        live.commands.add(outcome)
        if not self._hub.tell_agent(printer.id, Commands((command,)).to_wire()):
            live.commands.leave(outcome.id)
            live.commands.give_up(outcome.id)
            return None
        self._hub.publish(printer.id)
        if not answers:
            return outcome
        try:
            await self._wait(outcome.id)
        finally:
            live.commands.leave(outcome.id)
        found = live.commands.get(outcome.id) or outcome
        if found.state is CommandState.SENT:
            if peer.acks is AckSupport.UNTRIED:
                peer.acks = AckSupport.NO  # until it proves otherwise
                live.commands.give_up(outcome.id)
            self._hub.publish(printer.id)
        return live.commands.get(outcome.id) or outcome

    async def _wait(self, command_id: str) -> None:
        future = self._waiting[command_id] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(future, ANSWER_TIME)
        except (TimeoutError, asyncio.TimeoutError):
            return
        finally:
            self._waiting.pop(command_id, None)

    def answered(self, live: LivePrinter, ack: CommandAck) -> None:
        """An agent's word about a command."""
        peer = self._hub.agent(live.record.printer.id)
        if peer is not None:
            peer.acks = AckSupport.YES
        outcome = live.commands.apply(ack)
        if outcome is None:
            return
        if outcome.state.final:
            self._release(outcome.id)
        self._hub.publish(live.record.printer.id)

    def agent_lost(self, live: LivePrinter) -> None:
        """Nobody is there to answer any more: let go who waits for this printer."""
        for command_id in live.commands.ids:
            self._release(command_id)

    def _release(self, command_id: str) -> None:
        future = self._waiting.get(command_id)
        if future is not None and not future.done():
            future.set_result(None)
