"""Agents that wait to be linked: seen from the same network, or by a passcode (wire-protocol.md §2.2, §2.3).

All of it is in memory and gone after a restart: agents announce themselves every few seconds. Only the event loop
touches it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_core.wire import read
from reference_server.services.errors import Invalid, NotFound
from reference_server.services.secrets import RandomBytes
from reference_server.services.text import clean
from reference_server.services.throttle import Throttle, address_key

PRESENCE = 10.0
"""Seconds that an announcement counts: OctoPrint's agent comes every 5 s, so the public server's 4 s would flicker."""

MESSAGE_LIFE = 60.0
MESSAGES_PER_POLL = 3
MESSAGES_WAITING = 10
"""Per device."""

PASSCODE_LIFE, CLAIM_LIFE = 2 * 3600.0, 60.0
MOST_DEVICES, MOST_PASSCODES = 5_000, 5_000
MOST_SHOWN_FAR, MOST_SHOWN_NEAR = 2, 20
"""Devices in a list. Behind one public address others may live (more than two: none is shown, §2.2); the server's own
network is the owner's."""

WORD_LIMIT = 253
DEVICE_ID, LONGEST_DEVICE_ID = 32, 64
"""Characters: what agents send (hex digits), and what is taken."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS = (
    "hostname", "host_or_ip", "os", "arch", "rpi_model", "octopi_version", "printerprofile", "machine_type",
    "plugin_version", "agent",
)  # fmt: skip


_LOCAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fc00::/7",
        "fe80::/10",
    )
)  # fmt: skip
"""Addresses of local networks (RFC 1918, 3927, 4193, 4291) and of the machine itself."""


def site(address: str) -> str:
    """Who is near whom: callers from one public address (or IPv6 /64), and all from private addresses, which reach
    this server in its own network."""
    return "near" if is_private(address) else address_key(address)


def is_private(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in _LOCAL)


@dataclass(slots=True)
class _Device:
    told: dict[str, Any]
    seen_at: float
    messages: deque[tuple[float, dict[str, Any]]] = field(default_factory=lambda: deque(maxlen=MESSAGES_WAITING))


@dataclass(slots=True)
class _Passcode:
    until: float
    code: str = ""  # the verification code, once claimed


class Discovery:
    def __init__(self, clock: Callable[[], float], random: RandomBytes, wrong_claims: Throttle) -> None:
        """`wrong_claims`: passcodes that do not exist, per user."""
        self._clock, self._random, self._wrong_claims = clock, random, wrong_claims
        self._devices: OrderedDict[tuple[str, str], _Device] = OrderedDict()  # by site and device, latest last
        self._passcodes: OrderedDict[str, _Passcode] = OrderedDict()

    # --- the agent's side ----------------------------------------------------------------------------------------

    def announce(self, address: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages that wait for this device. It is seen by others only if it has a private address. Raises
        Invalid."""
        told = _told(body)
        key = (site(address), told["device_id"])
        device = self._devices.pop(key, None) or _Device(told, 0.0)
        now = self._clock()
        if is_private(told["host_or_ip"]):
            device.told, device.seen_at = told, now
            self._devices[key] = device
            while len(self._devices) > MOST_DEVICES:
                self._devices.popitem(last=False)
        messages: list[dict[str, Any]] = []
        while device.messages and len(messages) < MESSAGES_PER_POLL:
            until, message = device.messages.popleft()
            if now < until:
                messages.append(message)
        return messages

    def passcode(self, sent: str) -> tuple[str, str]:
        """The passcode to go on with, and the verification code if somebody has claimed it (else empty)."""
        now = self._clock()
        found = self._passcodes.get(sent)
        if found is not None and now < found.until:
            return sent, found.code
        self._passcodes.pop(sent, None)
        while self._passcodes and next(iter(self._passcodes.values())).until <= now:
            self._passcodes.popitem(last=False)
        while len(self._passcodes) >= MOST_PASSCODES:
            self._passcodes.popitem(last=False)
        new = self._mint()
        self._passcodes[new] = _Passcode(now + PASSCODE_LIFE)
        return new, ""

    def _mint(self) -> str:
        while True:
            number = int.from_bytes(self._random(8), "big")
            text = "".join(_ALPHABET[number // 36**place % 36] for place in range(5))
            if text not in self._passcodes:
                return text

    # --- the user's side -----------------------------------------------------------------------------------------

    def seen_from(self, address: str) -> list[dict[str, Any]]:
        """The devices that announce themselves from where this caller is."""
        where, since = site(address), self._clock() - PRESENCE
        found = [
            device.told for (place, _), device in self._devices.items() if place == where and device.seen_at > since
        ]
        return found if len(found) <= (MOST_SHOWN_NEAR if where == "near" else MOST_SHOWN_FAR) else []

    def hand_over(self, address: str, device_id: str, code: str, secret: str) -> bool:
        """Let the device link itself with `code`, if it knows `secret`; False: nobody announces it from here."""
        now = self._clock()
        device = self._devices.get((site(address), device_id))
        if device is None or device.seen_at <= now - PRESENCE:
            return False
        data = {"code": code, "secret": secret}
        device.messages.append((now + MESSAGE_LIFE, {"device_id": device_id, "type": "verify_code", "data": data}))
        return True

    def claim(self, user_id: int, passcode: str, code: str) -> None:
        """The agent that shows `passcode` is given `code`. Raises NotFound (it is claimed already, too), Throttled."""
        key, now = str(user_id), self._clock()
        self._wrong_claims.check(key)
        found = self._passcodes.get(passcode)
        if found is None or found.until <= now or found.code:
            self._wrong_claims.take(key)
            raise NotFound("Not Found")
        found.code, found.until = code, now + CLAIM_LIFE


def _told(body: Mapping[str, Any]) -> dict[str, Any]:
    """What the announcement says, cut to what it may be. Raises Invalid."""
    missing = [name for name in ("host_or_ip", "device_id") if not read.text(body.get(name))]
    if missing:
        raise Invalid(f"{', '.join(missing)}: needed", {name: ["This field is required."] for name in missing})
    if len(body["device_id"]) > LONGEST_DEVICE_ID:
        raise Invalid.field("device_id", f"At most {LONGEST_DEVICE_ID} characters are needed.")
    port = read.integer(body.get("port"))
    meta = read.mapping(body.get("meta")) or {}
    return {
        "device_id": body["device_id"],
        **{name: clean(read.text(body.get(name)) or "", WORD_LIMIT) for name in _WORDS},
        "port": port if port is not None and 0 < port < 65536 else None,
        "meta": {
            clean(key, WORD_LIMIT): clean(value, WORD_LIMIT)
            for key, value in list(meta.items())[:50]
            if isinstance(key, str) and isinstance(value, str)
        },
    }
