"""Environment and options -> one frozen ServerConfig. An option wins over the environment, that over the default.

Every setting is one row of SETTINGS: `--help`, the parser and the reader are all made from it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reference_server.net.policy import AddressPolicy
from reference_server.services.fleet.plan import Plan


class ConfigError(Exception):
    """A setting that cannot be used; the message is one line that names it and says what to do."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the server needs to know before it starts.

    `public_url`: how people reach the server when that is not what they type into the browser's address (a reverse
    proxy that changes the host), without a trailing slash; None = taken from each request.
    `upload_limit_mb`: largest G-code file, megabytes (10⁶ bytes; §6.5).
    `pic_limit_per_minute`: pictures per printer and clock minute, 0 = no limit (wire-protocol.md §4).
    `detector`: builtin, remote, local or off; `ml_api_url` and `ml_api_token`: where the remote one is;
    `detector_model`: the local one's file; `detector_timeout`: seconds for one picture; `detection_every`: seconds from
    one judged picture of a printer to the next (wire-protocol.md §5.4 assumes 10).
    `offline_alert_after`: seconds without an agent in mid-print until the printer counts as offline.
    `smtp_*`: the mail server that alerts go through; None = no mail.
    `tunnel_ports`: where printers' own web interfaces may be; `tunnel_host`: or below which host name, one each.
    `fleet_max_*`: the plan of each organization, 0 = no limit (services/fleet/plan.py).
    `media_max_*`: how much of prints' media is kept, 0 = no limit; `media_keep_free_mb`: megabytes (10⁶ bytes) that
    stay free on the disk.
    """

    host: str
    port: int
    data_dir: Path
    public_url: str | None
    log_level: str
    log_format: str
    trusted_proxies: str
    pic_limit_per_minute: int
    upload_limit_mb: int
    allow_private_addresses: bool
    allow_loopback_addresses: bool
    metrics_token: str | None = field(repr=False)
    detector: str
    ml_api_url: str | None
    ml_api_token: str | None = field(repr=False)
    detector_model: Path | None
    detector_timeout: float
    detection_every: float
    media_max_age_days: int
    media_max_prints: int
    media_max_disk_percent: int
    media_keep_free_mb: int
    offline_alert_after: float
    smtp_host: str | None
    smtp_port: int
    smtp_security: str
    smtp_from: str | None
    smtp_user: str | None
    smtp_password: str | None = field(repr=False)
    tunnel_ports: tuple[int, ...]
    tunnel_host: str | None
    fleet_calls_per_hour: int
    fleet_upload_limit_mb: int
    fleet_max_printers: int
    fleet_max_jobs_queued: int
    fleet_max_users: int

    @property
    def database(self) -> Path:
        return self.data_dir / "server.sqlite3"

    @property
    def media_dir(self) -> Path:
        return self.data_dir / "media"

    @property
    def plan(self) -> Plan:
        return Plan(self.fleet_max_printers, self.fleet_max_jobs_queued, self.fleet_max_users)

    @property
    def address_policy(self) -> AddressPolicy:
        """For every address that a user typed in and the server fetches (net/guard.py)."""
        return AddressPolicy(self.allow_private_addresses, self.allow_loopback_addresses)

    @property
    def local_url(self) -> str:
        """The address to type in on this machine (or the public one)."""
        if self.public_url:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `--<option>`, its environment variable, the default as text, how to read it, what it does."""

    option: str
    env: str
    default: str
    read: Callable[[str], Any]
    help: str
    metavar: str = "VALUE"
    secret: bool = False  # in the environment only: other users of the machine can read a command line

    @property
    def key(self) -> str:
        return self.option.replace("-", "_")


def _port(text: str) -> int:
    value = _whole(text)
    if value > 65535:
        raise ValueError("a port is a number from 0 to 65535 (0 takes any free one)")
    return value


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("a whole number is needed")
    return int(text)


def _at_least_one(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise ValueError("a number of 1 or more is needed")
    return value


def _ports(text: str) -> tuple[int, ...]:
    """`3340-3359`, or single ones; empty: none."""
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        low, high = _port(first.strip()), _port(last.strip() if dash else first.strip())
        if not 0 < low <= high or high - low >= 1000:
            raise ValueError("a range of at most 1000 ports is needed, such as 3340-3359")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))


def _domain(text: str) -> str | None:
    text = text.removeprefix("*.").lower()
    wrong = not text.isascii() or any(mark in text for mark in "/ @:*") or text.startswith(".")
    if text and (wrong or len(text) > 200):
        raise ValueError("a host name is needed, such as tunnel.example.org")
    return text or None


def _percent(text: str) -> int:
    value = _whole(text)
    if value > 100:
        raise ValueError("a whole number from 0 to 100 is needed")
    return value


def _host(text: str) -> str:
    if not text or any(mark in text for mark in "/ @") or len(text) > 253:
        raise ValueError("an address or a host name is needed, such as 127.0.0.1 or 0.0.0.0 for every address")
    return text


def _directory(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a folder is needed")
    return Path(text).expanduser()


def _url(text: str) -> str | None:
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("an address like https://printers.example.org is needed")
    if parts.path.strip("/"):
        raise ValueError("the server must have a host (or port) of its own: an address with a path is not supported")
    return f"{parts.scheme}://{parts.netloc}"


def _service(text: str) -> str | None:
    """An address that may have a path and, unlike `_url`, is reached by the server itself."""
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("an address like http://127.0.0.1:3333 is needed")
    return text.rstrip("/")


def _file(text: str) -> Path | None:
    if "\0" in text:
        raise ValueError("a file is needed")
    return Path(text).expanduser() if text else None


def _secret(text: str) -> str | None:
    if not text.isascii() or not text.isprintable():
        raise ValueError("a token of plain characters is needed")
    return text or None


def _text(text: str) -> str | None:
    if not text.isprintable() or len(text) > 253:
        raise ValueError("a short text is needed")
    return text or None


def _mailbox(text: str) -> str | None:
    if text and (text.count("@") != 1 or not text.isascii() or not text.isprintable() or "," in text):
        raise ValueError("an e-mail address is needed")
    return text or None


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text) if text.replace(".", "", 1).isdecimal() else -1.0
        if not low <= value <= high:
            raise ValueError(f"seconds from {low:g} to {high:g} are needed")
        return value

    return read


def _choice(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"one of {', '.join(words)} is needed")
        return text.lower()

    return read


def _yes(text: str) -> bool:
    if text.lower() not in {"yes", "no"}:
        raise ValueError("yes or no is needed")
    return text.lower() == "yes"


def _proxies(text: str) -> str:
    for entry in filter(None, (part.strip() for part in text.split(","))):
        _network(entry)
    return text


def _network(entry: str) -> None:
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(f"{entry!r} is no IP address or network such as 10.0.0.0/8") from None


SETTINGS: tuple[Setting, ...] = (
    Setting("host", "OBICO_SERVER_HOST", "127.0.0.1", _host,
            "address to listen on; 0.0.0.0 makes the server reachable from other machines", "ADDRESS"),
    Setting("port", "OBICO_SERVER_PORT", "3334", _port, "port to listen on", "PORT"),
    Setting("data-dir", "OBICO_SERVER_DATA_DIR", "", _directory,
            "folder of the database and the pictures (default: obico-reference-server in $XDG_DATA_HOME or"
            " ~/.local/share)", "FOLDER"),
    Setting("public-url", "OBICO_SERVER_PUBLIC_URL", "", _url,
            "how people reach the server through a reverse proxy, such as https://printers.example.org", "URL"),
    Setting("trusted-proxies", "OBICO_SERVER_TRUSTED_PROXIES", "127.0.0.1,::1", _proxies,
            "addresses of reverse proxies whose X-Forwarded-For and -Proto are believed, separated by commas", "LIST"),
    Setting("log-level", "OBICO_SERVER_LOG_LEVEL", "info", _choice("debug", "info", "warning", "error"),
            "how much to log: debug, info, warning or error", "LEVEL"),
    Setting("log-format", "OBICO_SERVER_LOG_FORMAT", "text", _choice("text", "json"), "text or json", "FORMAT"),
    Setting("pic-limit-per-minute", "PIC_POST_LIMIT_PER_MINUTE", "0", _whole,
            "pictures taken from one printer per minute, 0 = no limit", "NUMBER"),
    Setting("upload-limit-mb", "OBICO_SERVER_UPLOAD_LIMIT_MB", "50", _whole,
            "largest G-code file that may be uploaded, in megabytes", "NUMBER"),
    Setting("allow-private-addresses", "OBICO_SERVER_ALLOW_PRIVATE_ADDRESSES", "yes", _yes,
            "whether web hooks and the like may go to the home network (10.x, 192.168.x, fd..)", "YES|NO"),
    Setting("allow-loopback-addresses", "OBICO_SERVER_ALLOW_LOOPBACK_ADDRESSES", "no", _yes,
            "whether they may go to this machine itself (127.0.0.1, ::1)", "YES|NO"),
    Setting("metrics-token", "OBICO_SERVER_METRICS_TOKEN", "", _secret,
            "switches /metrics (Prometheus) on, for whoever sends this token", "TOKEN", secret=True),
    Setting("detector", "OBICO_SERVER_DETECTOR", "off", _choice("builtin", "remote", "local", "off"),
            "what looks for failed prints: builtin (no model), local (a model file), remote (an ML API service) or off",
            "KIND"),
    Setting("ml-api-url", "OBICO_SERVER_ML_API_URL", "", _service,
            "address of the ML API service for --detector remote, such as http://127.0.0.1:3333", "URL"),
    Setting("ml-api-token", "ML_API_TOKEN", "", _secret, "token of the ML API service", "TOKEN", secret=True),
    Setting("detector-model", "OBICO_SERVER_DETECTOR_MODEL", "", _file,
            "model file for --detector local: .onnx, or .weights with its .cfg beside it", "FILE"),
    Setting("detector-timeout", "OBICO_SERVER_DETECTOR_TIMEOUT", "20", _seconds(0.1, 300),
            "seconds that judging one picture may take", "SECONDS"),
    Setting("detection-every", "OBICO_SERVER_DETECTION_EVERY", "10", _seconds(0.05, 600),
            "seconds from one judged picture of a printer to the next; the rules are made for 10", "SECONDS"),
    Setting("tunnel-ports", "OBICO_SERVER_TUNNEL_PORTS", "3340-3359", _ports,
            "ports for printers' own web interfaces, one each, opened when first asked for; empty switches them off",
            "PORTS"),
    Setting("tunnel-host", "OBICO_SERVER_TUNNEL_HOST", "", _domain,
            "host name below which each printer's own web interface gets one, such as tunnel.example.org (printer1."
            "tunnel.example.org, …), instead of ports; needs a wildcard DNS entry and certificate", "HOST"),
    Setting("fleet-calls-per-hour", "OBICO_SERVER_FLEET_CALLS_PER_HOUR", "1000", _at_least_one,
            "calls of the fleet API (/v1) that one key may make in an hour", "NUMBER"),
    Setting("fleet-upload-limit-mb", "OBICO_SERVER_FLEET_UPLOAD_LIMIT_MB", "500", _at_least_one,
            "largest G-code file of a job, in megabytes", "NUMBER"),
    Setting("fleet-max-printers", "OBICO_SERVER_FLEET_MAX_PRINTERS", "0", _whole,
            "printers that one organization may have, 0 = no limit", "NUMBER"),
    Setting("fleet-max-jobs-queued", "OBICO_SERVER_FLEET_MAX_JOBS_QUEUED", "0", _whole,
            "jobs that may wait in one organization's queue, 0 = no limit", "NUMBER"),
    Setting("fleet-max-users", "OBICO_SERVER_FLEET_MAX_USERS", "0", _whole,
            "people that one organization may have, 0 = no limit", "NUMBER"),
    Setting("media-max-age-days", "OBICO_SERVER_MEDIA_MAX_AGE_DAYS", "180", _whole,
            "days that videos and pictures of a print are kept after its end, 0 = no limit", "DAYS"),
    Setting("media-max-prints", "OBICO_SERVER_MEDIA_MAX_PRINTS", "200", _whole,
            "prints of one printer whose videos and pictures are kept, 0 = no limit", "NUMBER"),
    Setting("media-max-disk-percent", "OBICO_SERVER_MEDIA_MAX_DISK_PERCENT", "50", _percent,
            "share of the disk that videos and pictures may fill, 0 = no limit", "PERCENT"),
    Setting("media-keep-free-mb", "OBICO_SERVER_MEDIA_KEEP_FREE_MB", "500", _whole,
            "megabytes that stay free on the disk: below that pictures are shown but not kept", "MB"),
    Setting("offline-alert-after", "OBICO_SERVER_OFFLINE_ALERT_AFTER", "120", _seconds(1, 86400),
            "seconds without a printer's agent in mid-print until an alert tells of it", "SECONDS"),
    Setting("smtp-host", "OBICO_SERVER_SMTP_HOST", "", _text, "mail server that alerts are sent through", "HOST"),
    Setting("smtp-port", "OBICO_SERVER_SMTP_PORT", "587", _port, "its port", "PORT"),
    Setting("smtp-security", "OBICO_SERVER_SMTP_SECURITY", "starttls", _choice("starttls", "tls", "none"),
            "how the way to it is encrypted: starttls (port 587), tls (port 465) or none", "KIND"),
    Setting("smtp-from", "OBICO_SERVER_SMTP_FROM", "", _mailbox,
            "address that alerts come from, such as printers@example.org", "ADDRESS"),
    Setting("smtp-user", "OBICO_SERVER_SMTP_USER", "", _text, "name to log in to it with", "NAME"),
    Setting("smtp-password", "OBICO_SERVER_SMTP_PASSWORD", "", _secret, "password of the mail server", "PASSWORD",
            secret=True),
)  # fmt: skip


def default_data_dir(environment: Mapping[str, str]) -> str:
    base = environment.get("XDG_DATA_HOME", "")
    home = Path(base) if base.startswith("/") else Path("~/.local/share")
    return str(home / "obico-reference-server")


def load_config(options: Mapping[str, str | None], environment: Mapping[str, str]) -> ServerConfig:
    """The configuration from parsed options (None = not given) and environment. Raises ConfigError."""
    found: dict[str, Any] = {}
    for setting in SETTINGS:
        text, source = options.get(setting.key), f"--{setting.option}"
        if text is None:
            text, source = environment.get(setting.env), setting.env
        if text is None or (not text and setting.key == "data_dir"):
            text = setting.default or (default_data_dir(environment) if setting.key == "data_dir" else "")
        try:
            found[setting.key] = setting.read(text.strip())
        except (ValueError, RuntimeError) as error:  # expanduser has no home folder
            shown = "its value" if setting.secret else repr(text)
            raise ConfigError(f"{source}: {shown} cannot be used: {error}") from None
    return ServerConfig(**found)
