"""The tunnel as the agent holds it: loaded with the first request, for most agents never need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from agent_core.config import CameraConfig, TunnelTarget
from agent_core.runtime.worker import Worker
from agent_core.wire.codec import encode
from agent_core.wire.messages import Capability, TunnelRequest, TunnelResponse, TunnelSocketData
from agent_core.wire.tunnel import TunnelFrame, TunnelKind

if TYPE_CHECKING:
    from agent_core.features.tunnel import Tunnel

NO_TUNNEL = b"The tunnel to this printer's web interface is switched off."

SendBulk = Callable[[bytes, Callable[[bool], None]], None]


class LateTunnel:
    """Used by the core thread; `stop` by whoever stops the agent."""

    def __init__(
        self, target: TunnelTarget | None, cameras: Callable[[], Iterable[CameraConfig]], send: SendBulk
    ) -> None:
        self._target, self._cameras, self._send = target, cameras, send
        self._tunnel: Tunnel | None = None
        self._stopped = False

    def greeted(self, capabilities: frozenset[Capability]) -> None:
        """The server has said what it speaks; only one that names `tunnel_stream` hears that we do too."""
        if self._target is not None and Capability.TUNNEL_STREAM in capabilities:
            self._tell(TunnelFrame(TunnelKind.HELLO))

    def take(self, message: TunnelFrame | TunnelRequest | TunnelSocketData) -> None:
        if self._stopped:
            return
        if self._target is None:
            if isinstance(message, TunnelRequest):
                self._tell(TunnelResponse(message.ref, 502, {}, NO_TUNNEL))
            return
        if self._tunnel is None:
            from agent_core.features.tunnel import Tunnel  # some hundred kB of an idle agent

            self._tunnel = Tunnel(self._target, self._cameras, self._send)
        self._tunnel.take(message)

    def link_lost(self) -> None:
        if self._tunnel is not None:
            self._tunnel.link_lost()

    def stop(self) -> list[Worker]:
        """The workers to wait for."""
        self._stopped = True
        if self._tunnel is None:
            return []
        workers = self._tunnel.workers
        self._tunnel.stop()
        return workers

    def _tell(self, message: TunnelFrame | TunnelResponse) -> None:
        frame = encode(message)
        if isinstance(frame, bytes):
            self._send(frame, lambda _ok: None)
