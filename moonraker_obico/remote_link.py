"""A printer that waits to be linked listens at Moonraker: who may call `server.extensions.request` there (a trusted
client, or one with its API key) may hand it a server's linking code.

    {"agent": "moonraker-obico", "method": "link", "arguments": {"server": URL, "code": SIX DIGITS}}

answers `{"linked": true, "printer": NAME}`, or `{"linked": false, "error": why}`. A printer that is linked refuses, by
its connection, and stays as it is.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable
from typing import Any

import websocket

from agent_core.config import server_url
from agent_core.errors import AgentError, NeedsPerson, Unreachable
from agent_core.features.linking import Linked, code_digits, verify_code
from agent_core.features.machine import MachineRecord
from agent_core.ports import Clock
from agent_core.runtime.worker import Worker
from agent_core.transport.http import HttpClient
from moonraker_obico import linkage
from moonraker_obico.config import HostConfig
from moonraker_obico.jsonrpc import JsonRpc, Request, answer_frame
from moonraker_obico.moonraker_socket import Address, Lost, MoonrakerSocket
from moonraker_obico.registered import LINK, identity, refusal
from moonraker_obico.version import AGENT_VERSION

_log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
SILENCE_SECONDS = 35.0
"""Moonraker pings every 10 s; three missed and it is dead."""


class RemoteLink:
    """`keep` writes server and token down, on this worker's thread (raises OSError). After `stop` no thread is left."""

    def __init__(
        self, address: Address, http: HttpClient, clock: Clock, keep: Callable[[str, Linked], None], *,
        verify_tls: bool = True,
    ) -> None:  # fmt: skip
        self._address, self._http, self._clock = address, http, clock
        self._keep, self._verify_tls = keep, verify_tls
        self._socket = MoonrakerSocket(address, http)
        self._done = False
        self._told: str | None = None  # why there is no connection, as logged
        self.worker = Worker("remote link", tick=self._session, on_stop=self._socket.hang_up)

    def start(self) -> None:
        self.worker.start()

    def stop(self, seconds: float) -> bool:
        """False: it did not end in time."""
        self.worker.stop()
        self._http.close()
        return self.worker.join(seconds)

    def _session(self) -> float | None:
        """One connection from beginning to end; the seconds until the next attempt."""
        try:
            self._read(self._socket.open(self.worker.stopping))
        except (Lost, NeedsPerson, Unreachable) as error:
            if self._told != str(error) and not self.worker.stopping.is_set():
                self._told = str(error)
                _log.info("this printer cannot be linked through Moonraker at present: %s", error)
        finally:
            self._socket.close()
        return None if self._done else RETRY_SECONDS

    def _read(self, ws: websocket.WebSocket) -> None:
        rpc = JsonRpc()
        self._socket.write(rpc.request("server.connection.identify", identity(self._address, AGENT_VERSION), _ignore))
        self._told = None
        poller = select.poll()
        poller.register(ws.sock, select.POLLIN)
        heard_at = self._clock.monotonic()
        while not self.worker.stopping.is_set() and not self._done:
            if not poller.poll(5000):
                if self._clock.monotonic() - heard_at > SILENCE_SECONDS:
                    raise Lost(f"Moonraker at {self._address.shown} has gone silent")
                continue
            try:
                opcode, data = ws.recv_data(control_frame=True)
            except (OSError, websocket.WebSocketException):
                raise Lost(f"the connection to Moonraker at {self._address.shown} broke") from None
            heard_at = self._clock.monotonic()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise Lost(f"Moonraker at {self._address.shown} closed the connection")
            if opcode == websocket.ABNF.OPCODE_TEXT and b'"id"' in data:
                message = rpc.receive(data)
                if isinstance(message, Request):
                    self._socket.write(self._answer(message))
                elif isinstance(message, tuple):
                    done, result, error = message
                    done(result, error)

    def _answer(self, request: Request) -> str:
        given = request.params if isinstance(request.params, dict) else {}
        server, code = given.get("server"), given.get("code")
        if request.method != LINK or not isinstance(server, str) or not isinstance(code, str) or not server.strip():
            return refusal(request, "`link` takes a server's address and its six-digit code")
        try:
            url = server_url(server)
            linked = verify_code(self._http, url, code_digits(code), verify_tls=self._verify_tls)
            self._keep(url, linked)
        except (AgentError, OSError) as error:
            _log.warning("not linked through Moonraker: %s", error)
            return refusal(request, str(error))
        self._done = True
        _log.info("linked through Moonraker to %s", url)
        return answer_frame(request.id, {"linked": True, "printer": linked.printer_name})


def _ignore(_result: Any, error: Any) -> None:
    if error is not None:
        _log.info("Moonraker does not register this connection as an agent: %s", error)


def remote_link(config: HostConfig, clock: Clock, record: MachineRecord) -> RemoteLink:
    """For the printer of that configuration."""
    return RemoteLink(
        Address(config.moonraker_host, config.moonraker_port, config.api_key),
        HttpClient(f"moonraker-obico/{AGENT_VERSION}"), clock,
        lambda url, linked: linkage.keep(config, url, linked.token, record), verify_tls=config.verify_tls,
    )  # fmt: skip
