"""The agent's frozen configuration. Hosts build it from their own settings; nothing here reads files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from agent_core.errors import ConfigInvalid
from agent_core.model import CameraInfo

DEFAULT_SERVER = "https://app.obico.io"


class Secret:
    """A text that never prints: str, repr and format show `***`; `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """Where a camera's pictures come from. URLs are absolute by now; credentials may stand in them (then `url` is as
    secret as a password: use `features.snapshots.shown` for logs). `file` is for tests. At least one is set.
    """

    info: CameraInfo
    snapshot_url: str | None = None
    stream_url: str | None = None
    file: str | None = None
    verify_tls: bool = True


@dataclass(frozen=True, slots=True)
class TunnelTarget:
    """The printer's own web interface, the only place that the tunnel leads to. `blocked`: paths (with the beginning of
    a query) that are never asked for. `tell_visitor`: whether it learns the visitor's address, so that whom it would
    let in without a password at home stays outside."""

    host: str
    port: int
    tls: bool = False
    tell_visitor: bool = False
    blocked: tuple[str, ...] = ()

    @property
    def shown_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authority(self) -> str:
        """As `Host` has it."""
        return self.shown_host if self.port == (443 if self.tls else 80) else f"{self.shown_host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PictureRules:
    """What pictures may cost. `back_off`: they come less often while the machine is short of time or memory.
    `skip_unchanged`: a picture like the last one is sent once a minute only. `upload_kbit`: kbit/s that pictures may
    take, None for all. `watch`: the agent itself looks whether a camera is black, frozen, blocked or moved (needs the
    extra `vision`).
    """

    back_off: bool = True
    skip_unchanged: bool = True
    upload_kbit: float | None = None
    watch: bool = False


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """`agent_name`: `octoprint_obico` or `moonraker_obico`; `data_dir`: folder for the agent's database."""

    agent_name: str
    agent_version: str
    server_url: str
    token: Secret | None
    data_dir: str
    cameras: tuple[CameraConfig, ...] = ()
    verify_tls: bool = True
    extra_headers: tuple[tuple[str, str], ...] = field(default=())
    tunnel: TunnelTarget | None = None
    pictures: PictureRules = PictureRules()

    @property
    def websocket_url(self) -> str:
        """The server's agent socket: the leading `http` swapped for `ws` (wire-protocol.md §1)."""
        return "ws" + self.server_url.removeprefix("http") + "/ws/dev/"


def server_url(text: str) -> str:
    """A server address as typed by a person, made usable: scheme added, slashes at the end dropped.

    Raises ConfigInvalid with what is wrong.
    """
    url = text.strip()
    if not url:
        return DEFAULT_SERVER
    if "@" in url.partition("://")[2].split("/")[0] or "@" in url.split("/")[0]:
        raise ConfigInvalid("the server address must not contain a user name or password")
    # What comes after may be a secret too.
    typed = f"the server address {re.split('[?#]', url)[0]!r}"
    if "://" not in url:
        # A server at home has no certificate, one on the internet has: people type neither scheme.
        host = url.split("/")[0].rsplit(":", 1)[0]
        url = ("http://" if _at_home(host) else "https://") + url
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ConfigInvalid(f"{typed} is not usable: {error}") from None
    if parts.scheme not in {"http", "https"}:
        raise ConfigInvalid(f"{typed} must begin with http:// or https://")
    host = parts.hostname or ""
    # `https//…` and `http://http://…` lead to a host of that name.
    if not host or ".." in host or host in {"http", "https"} or not port_ok or not _one_word(url):
        raise ConfigInvalid(f"{typed} names no host; an example: http://192.168.1.20:3334")
    if parts.query or parts.fragment:
        raise ConfigInvalid(f"{typed} must end before any ? or #")
    # A telephone's keyboard begins with a capital, and the socket's address is made out of this one.
    return parts.scheme + url[len(parts.scheme) :].rstrip("/")


def _one_word(url: str) -> bool:
    return url.isprintable() and not any(char.isspace() for char in url)


def _at_home(host: str) -> bool:
    name = host.strip("[]").lower()
    first, _, second = name.partition(".")
    if first == "172":
        return second.split(".")[0].isdigit() and 16 <= int(second.split(".")[0]) <= 31
    if first in {"127", "10", "192"}:
        return second.replace(".", "").isdigit()
    return "." not in name or name.endswith((".local", ".lan", ".home", ".internal"))
