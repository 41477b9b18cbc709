"""Hands a linking code to an agent of ours that runs beside an OctoPrint or a Moonraker (fleet-api.md §2).

OctoPrint: the plugin's own API with the key of a user who may manage it. Moonraker: the method `link` of the agent that
is registered there. Every request goes through guard.py; the key goes into one header and nowhere else. Blocks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from agent_core.wire import read
from reference_server.net.guard import Answer, FetchFailed, Refused, check_url, guarded_request, parse_target
from reference_server.net.policy import AddressPolicy
from reference_server.services.fleet.host_link import HostAnswer, HostLinkRefused
from reference_server.services.own_agents import is_own
from reference_server.services.text import clean

TIME_LIMIT = 5.0
"""Seconds for finding out what answers there, and again for handing the code over (fleet-api.md §2)."""
LARGEST_ANSWER = 512 * 1024

MOONRAKER_AGENT = "moonraker-obico"
"""By this name our agent, and the public one, are registered at Moonraker."""
_KEY_REFUSED = "{} refuses the API key: copy it again, of a user who may manage Obico"


class _NotHere(Exception):
    """Nobody could be told; the text is the note."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: Mapping[str, Any]


def base_of(url: str) -> str:
    """The address without a slash at its end. Raises Refused."""
    url = url.strip()
    if "://" not in url:
        url = f"http://{url}"
    parse_target(url)
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise Refused("the address must end with the host, a port or a path")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


class HostLinker:
    """services.fleet.host_link.HostLinker."""

    def __init__(
        self, policy: AddressPolicy, request: Callable[..., Answer] = guarded_request,
        check: Callable[[str, AddressPolicy, float], None] = check_url, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._policy, self._request, self._check, self._clock = policy, request, check, clock

    def usable(self, url: str) -> str:
        """See the Protocol."""
        try:
            base = base_of(url)
            self._check(base, self._policy, TIME_LIMIT)
        except Refused as error:
            raise HostLinkRefused(error.reason) from None
        return base

    def link(self, base: str, key: str | None, server: str, code: str) -> HostAnswer:
        """See the Protocol."""
        visit = _Visit(self, base, key)
        try:
            host = _Moonraker(visit) if visit.is_moonraker() else _OctoPrint(visit)
            return host.link(server, code)
        except _NotHere as error:
            return HostAnswer(False, clean(str(error), 500))
        except FetchFailed as error:
            return HostAnswer(False, clean(f"Nothing was reached at the address: {error}.", 500))


class _Visit:
    """The requests of one attempt."""

    def __init__(self, linker: HostLinker, base: str, key: str | None) -> None:
        self._linker, self._base = linker, base
        self._headers = {"Accept": "application/json"} | ({"X-Api-Key": key} if key else {})
        self._deadline = linker._clock() + TIME_LIMIT

    def renew(self) -> None:
        """The second part: the code is handed over."""
        self._deadline = self._linker._clock() + TIME_LIMIT

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> _Reply:
        """Raises FetchFailed."""
        left = max(0.1, self._deadline - self._linker._clock())
        headers = self._headers if body is None else self._headers | {"Content-Type": "application/json"}
        answer = self._linker._request(
            "GET" if body is None else "POST", self._base + path, headers,
            None if body is None else json.dumps(body).encode(), left, LARGEST_ANSWER, self._linker._policy,
        )  # fmt: skip
        try:
            found = read.mapping(json.loads(answer.body))
        except (ValueError, RecursionError):
            found = None
        return _Reply(answer.status, found or {})

    def is_moonraker(self) -> bool:
        """Raises _NotHere: it wants another key; FetchFailed."""
        reply = self.ask("/server/info")
        error = read.mapping(reply.body.get("error"))
        if reply.status == 401 and error is not None and "code" in error:
            raise _NotHere(_KEY_REFUSED.format("Moonraker"))
        return "moonraker_version" in (read.mapping(reply.body.get("result")) or {})


class _OctoPrint:
    def __init__(self, visit: _Visit) -> None:
        self._visit = visit

    def link(self, server: str, code: str) -> HostAnswer:
        state = self._visit.ask("/api/plugin/obico")
        if state.status in {401, 403}:
            raise _NotHere(_KEY_REFUSED.format("OctoPrint"))
        if state.status != 200 or "linked" not in state.body:
            raise _NotHere("What answers there is neither Moonraker nor an OctoPrint with our plugin, 3.0 or newer.")
        if state.body["linked"] is True:
            raise _NotHere("This OctoPrint is linked to a server already: unlink it there first.")
        self._visit.renew()
        done = self._visit.ask("/api/plugin/obico", {"command": "link", "server": server, "code": code})
        if done.status in {401, 403}:
            raise _NotHere(_KEY_REFUSED.format("OctoPrint"))
        if done.status not in {200, 202, 204}:
            said = read.text(done.body.get("error")) or f"HTTP {done.status}"
            raise _NotHere(f"The plugin does not link: {said}")
        return HostAnswer(True, "OctoPrint's plugin was given the code.")


class _Moonraker:
    def __init__(self, visit: _Visit) -> None:
        self._visit = visit

    def link(self, server: str, code: str) -> HostAnswer:
        listed = self._visit.ask("/server/extensions/list")
        if listed.status in {401, 403}:
            raise _NotHere(_KEY_REFUSED.format("Moonraker"))
        agents = (read.mapping(listed.body.get("result")) or {}).get("agents")
        agent = next(
            (agent for agent in read.items(agents) if isinstance(agent, dict) and agent.get("name") == MOONRAKER_AGENT),
            None,
        )
        # A public agent of that name has no such method, and would never answer.
        if agent is None or not is_own("moonraker_obico", read.text(agent.get("version"))):
            raise _NotHere("This Moonraker has no agent of ours, moonraker-obico 3.0 or newer.")
        self._visit.renew()
        call = {"agent": MOONRAKER_AGENT, "method": "link", "arguments": {"server": server, "code": code}}
        try:
            done = self._visit.ask("/server/extensions/request", call)
        except FetchFailed:
            return HostAnswer(True, "The agent was given the code, and has not answered yet.")
        result = read.mapping(done.body.get("result")) or {}
        if done.status != 200 or result.get("linked") is not True:
            error = read.mapping(done.body.get("error")) or {}
            said = read.text(result.get("error")) or read.text(error.get("message")) or f"HTTP {done.status}"
            raise _NotHere(f"The agent does not link: {said}.")
        return HostAnswer(True, "The agent was given the code.")
