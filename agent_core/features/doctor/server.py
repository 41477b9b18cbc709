"""The server, step by step: its name, the way to it, TLS, the clock, our token, its WebSocket."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from agent_core.config import AgentConfig
from agent_core.errors import AgentError
from agent_core.features.doctor.model import Check, Finding, Level
from agent_core.features.linking import check_token
from agent_core.ports import Http, HttpRequest, HttpResponse
from agent_core.transport import tls
from agent_core.transport.proxy import proxy_for

CONNECT_SECONDS = 5.0
CERTIFICATE_DAYS = 14.0
"""A certificate that ends sooner is told; automatic renewal happens at 30 days."""
SKEW_WARN, SKEW_FAIL = 30.0, 300.0
"""Seconds by which this machine's clock may be off: pictures and prints are told with its time, TLS trusts it."""


class ServerExam:
    """One round of checks. `link`: "" while the running agent is connected, else why not; None if none runs.

    `relink`, `address`: how a person links the printer, and where the server's address is set, in words.
    """

    def __init__(
        self,
        config: AgentConfig,
        http: Http,
        *,
        link: str | None,
        relink: str,
        address: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._http = _Heard(http)
        self._link = link
        self._relink = relink
        self._address = address
        self._now = now
        parts = urlsplit(config.server_url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._proxied = proxy_for(parts.scheme, self._host, os.environ) is not None
        self._known = False
        self._accepted = False

    def checks(self) -> Iterator[Check]:
        yield Check("server", self.name, 15.0)
        if self._known:
            if not self._proxied:
                yield Check("way", self.way, 2 * CONNECT_SECONDS + 2.0)
            yield Check("server", self.token, 25.0)
            yield Check("clock", self.clock)
        if self._accepted:
            yield Check("server", self.websocket, 20.0)

    def name(self) -> Iterator[Finding]:
        if self._proxied:
            self._known = True
            yield Finding(Level.OK, "server", f"{self._host} is reached through the proxy that the environment names")
            return
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            advice = f"check the address in {self._address}, and this machine's network"
            yield Finding(Level.FAIL, "server", f"the name {self._host} is not known to DNS", advice)
            return
        self._known = True
        addresses = ", ".join(dict.fromkeys(str(address[0]) for *_, address in found))
        if addresses == self._host:
            return  # an address itself: there was nothing to look up
        yield Finding(Level.OK, "server", f"{self._host} is at {addresses}"[:200])

    def way(self) -> Iterator[Finding]:
        """TCP and TLS. Failures are told by `token`, whose words are the agent's own."""
        began = time.monotonic()
        try:
            raw = socket.create_connection((self._host, self._port), CONNECT_SECONDS)
        except OSError:
            return
        with raw:
            took = (time.monotonic() - began) * 1000
            yield Finding(Level.OK, "way", f"port {self._port} of {self._host} takes connections ({took:.0f} ms)")
            if self._secure:
                yield from self._certificate(raw)

    def _certificate(self, raw: socket.socket) -> Iterator[Finding]:
        if not self._config.verify_tls:
            yield Finding(
                Level.WARN, "way", "the server's certificate is not checked, as the settings say",
                "anybody in between can read along; switch the check on unless you trust that network",
            )  # fmt: skip
            return
        try:
            with tls.context(verify=True).wrap_socket(raw, server_hostname=self._host) as secured:
                ends = ssl.cert_time_to_seconds(str((secured.getpeercert() or {})["notAfter"]))
                version = secured.version() or "TLS"
        except (OSError, KeyError, ValueError):
            return
        days = (ends - self._now()) / 86400
        text = f"{version}, its certificate holds for {days:.0f} days"
        if days < CERTIFICATE_DAYS:
            yield Finding(Level.WARN, "way", text, "see to it that the server renews it")
        else:
            yield Finding(Level.OK, "way", text)

    def token(self) -> Iterator[Finding]:
        config = self._config
        if config.token is None:
            yield from self._unlinked()
            return
        try:
            printer = check_token(self._http, config.server_url, config.token, verify_tls=config.verify_tls)
        except AgentError as error:
            yield Finding(Level.FAIL, "server", str(error))
            return
        self._accepted = True
        yield Finding(Level.OK, "server", f"{config.server_url} knows this printer as {printer.name or printer.id}")

    def _unlinked(self) -> Iterator[Finding]:
        """There is no token to show, but whether the server answers can be told all the same."""
        try:
            url = f"{self._config.server_url}/api/v1/octo/printer/"
            self._http.send(HttpRequest("GET", url, verify_tls=self._config.verify_tls))
        except AgentError as error:
            yield Finding(Level.FAIL, "server", str(error))
        yield Finding(Level.FAIL, "server", f"this printer is not linked: {self._relink}")

    def clock(self) -> Iterator[Finding]:
        heard = self._http.heard
        if heard is None:
            return
        try:
            theirs = parsedate_to_datetime(heard[0]).timestamp()
        except (TypeError, ValueError, OverflowError):
            return
        off = heard[1] - theirs
        text = f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the server's"
        advice = "switch on time synchronisation (`sudo timedatectl set-ntp true`)"
        if abs(off) >= SKEW_FAIL:
            yield Finding(Level.FAIL, "clock", text, advice)
        elif abs(off) >= SKEW_WARN:
            yield Finding(Level.WARN, "clock", text, advice)
        else:
            yield Finding(Level.OK, "clock", "this machine and the server agree on the time")

    def websocket(self) -> Iterator[Finding]:
        if self._link == "":
            yield Finding(Level.OK, "server", "the agent is connected to it")
        elif self._link is not None:
            yield Finding(Level.FAIL, "server", f"the agent is not connected to it: {self._link}")
        else:
            # Only while no agent runs: the server would close that one's connection for ours.
            from agent_core.features.doctor.websocket import check_websocket

            problem = check_websocket(self._config, self._relink)
            if problem is None:
                yield Finding(Level.OK, "server", "its websocket can be opened")
            else:
                yield Finding(Level.FAIL, "server", problem)


class _Heard:
    """An Http that remembers the server's last Date, and when it came."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.heard: tuple[str, float] | None = None

    def send(self, request: HttpRequest) -> HttpResponse:
        response = self._http.send(request)
        if "date" in response.headers:
            self.heard = (response.headers["date"], time.time())
        return response

    def close(self) -> None:
        self._http.close()
