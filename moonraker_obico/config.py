"""`moonraker-obico.cfg` → the agent's configuration. Reads a file written for the public agent unchanged.

What cannot be meant otherwise than wrong raises ConfigInvalid; what has a safe default becomes a warning. Both name the
file, the section, the key and the line, and say what to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent_core.config import DEFAULT_SERVER, PictureRules, Secret, TunnelTarget, server_url
from agent_core.errors import ConfigInvalid
from agent_core.features.scrub import secrets_of
from moonraker_obico.files import read_text, read_token
from moonraker_obico.ini import SIZE_LIMIT, Section, parse

KEYS: Mapping[str, tuple[str, ...]] = {
    "server": ("url", "auth_token", "verify_tls"),
    "moonraker": ("host", "port", "api_key"),
    "webcam": (
        "snapshot_url", "stream_url", "flip_h", "flip_v", "rotation", "rotate_90", "aspect_ratio_169",
        "is_primary_camera", "is_nozzle_camera", "verify_tls",
    ),
    "logging": ("path", "level"),
    "agent": ("data_dir", "discovery", "discovery_port", "back_off", "upload_limit", "watch_cameras"),
    "misc": ("sentry_opt", "sentry_dsn"),
    "tunnel": ("dest_host", "dest_port", "dest_is_ssl", "url_blacklist"),
}  # fmt: skip
"""Every key that does something here; config.example.ini documents each (a test holds it to that)."""

PUBLIC_KEYS: Mapping[str, tuple[str, ...]] = {
    "server": ("upstream_server", "ssl_verify"),
    "moonraker": ("ssl",),
    "webcam": (
        "disable_video_streaming", "target_fps", "resolution", "stream_mode", "h264_http_url", "h264_device_path",
        "h264_rtsp_url", "printer_name", "url", "webrtc_url", "video_url",
    ),
    "logging": ("max_bytes", "backup_count"),
}  # fmt: skip
"""Keys of the public agent that have no meaning here yet: accepted without a word."""

PORT = 46793
"""Where the handshake with a server's page is served (agent_core/features/handshake_server.py; the public agent's)."""

_META_MOST, _META_TEXT = 50, 253

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_BOOLEANS = {
    "1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WebcamSection:
    """A [webcam] or [webcam NAME] section; None: not said, Moonraker's own word counts then."""

    name: str
    snapshot_url: str | None = None
    stream_url: str | None = None
    flip_h: bool | None = None
    flip_v: bool | None = None
    rotation: int | None = None
    ratio: str | None = None
    primary: bool | None = None
    nozzle: bool | None = None
    verify_tls: bool = True

    @property
    def has_address(self) -> bool:
        return bool(self.snapshot_url or self.stream_url)


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Everything that the file says. `token` None: not linked yet. `warnings` are for the log, once."""

    path: Path
    server_url: str = DEFAULT_SERVER
    server_chosen: bool = False
    """Whether the file names a server: to one that nobody chose an unlinked printer tells nothing."""
    verify_tls: bool = True
    token: Secret | None = None
    token_in_file: bool = False
    """Whether the configuration file itself holds the token."""
    moonraker_host: str = "127.0.0.1"
    moonraker_port: int = 7125
    api_key: Secret | None = None
    webcams: tuple[WebcamSection, ...] = ()
    log_path: Path | None = None
    log_level: str = "INFO"
    data_dir: Path = field(default_factory=Path)
    discovery: bool = True
    """Whether an unlinked agent makes itself known to the server's page."""
    discovery_port: int = PORT
    meta: Mapping[str, str] = field(default_factory=dict)
    tunnel: TunnelTarget = field(default_factory=lambda: TunnelTarget("127.0.0.1", 80))
    pictures: PictureRules = field(default_factory=PictureRules)
    sentry_dsn: Secret | None = None
    """Where reports of faults go; None: nowhere."""
    warnings: tuple[str, ...] = ()

    def secrets(self) -> list[str]:
        """Everything in it that must not be seen in a log or a support bundle."""
        own = [secret.reveal() for secret in (self.token, self.api_key, self.sentry_dsn) if secret is not None]
        urls = [url for webcam in self.webcams for url in (webcam.snapshot_url, webcam.stream_url)]
        return [*own, *(secret for url in urls for secret in secrets_of(url))]

    @property
    def token_path(self) -> Path:
        return self.data_dir / "token"

    @property
    def lock_path(self) -> Path:
        return self.data_dir / "lock"

    @property
    def status_path(self) -> Path:
        return self.data_dir / "status.sock"


class _Reader:
    """Typed access to one section; wrong values are collected as warnings or raised."""

    def __init__(self, shown: str, section: Section | None, name: str, warnings: list[str]) -> None:
        self._shown = shown
        self._name = name
        self._entries = {} if section is None else section.entries
        self.warnings = warnings

    def text(self, key: str) -> str | None:
        entry = self._entries.get(key)
        return entry.value if entry is not None and entry.value else None

    def boolean(self, key: str) -> bool | None:
        value = self.text(key)
        if value is None:
            return None
        word = value.lower()
        if word not in _BOOLEANS:
            self._warn(key, f"{value!r} is neither true nor false; ignored")
        return _BOOLEANS.get(word)

    def whole(self, key: str, allowed: Callable[[int], bool], what: str) -> int | None:
        """Raises ConfigInvalid."""
        value = self.text(key)
        if value is None:
            return None
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or not allowed(number):
            raise ConfigInvalid(self.place(key, f"{value!r} is not {what}"))
        return number

    def place(self, key: str, text: str) -> str:
        entry = self._entries.get(key)
        line = "" if entry is None else f", line {entry.line}"
        return f"{self._shown}, [{self._name}] {key}{line}: {text}"

    def _warn(self, key: str, text: str) -> None:
        self.warnings.append(self.place(key, text))


def load(path: Path, environ: Mapping[str, str] = os.environ) -> HostConfig:
    """Raises ConfigInvalid. A missing token is no error: the agent is not linked yet."""
    text = read_text(path, SIZE_LIMIT, "write it, or copy config.example.ini there")
    return read(text, path, environ)


def read(text: str, path: Path, environ: Mapping[str, str] = os.environ) -> HostConfig:
    """As `load`, from the file's text; reads the token file beside it."""
    shown = str(path)
    sections = {section.name: section for section in parse(text, shown)}
    warnings = _unknown(sections, shown)

    def reader(name: str) -> _Reader:
        return _Reader(shown, sections.get(name), name, warnings)

    server, moonraker, log, agent = reader("server"), reader("moonraker"), reader("logging"), reader("agent")
    tunnel, misc = reader("tunnel"), reader("misc")
    for name, what in (("server", f"using {DEFAULT_SERVER}"), ("moonraker", "using 127.0.0.1, port 7125")):
        if name not in sections:
            warnings.append(f"{shown}: there is no [{name}] section; {what}")
    data_dir = _folder(agent.text("data_dir"), path, environ)
    host = moonraker.text("host") or "127.0.0.1"
    if any(char in host for char in "/ @?#"):
        raise ConfigInvalid(
            moonraker.place("host", f"{host!r} is not a host name or address: leave out http:// and the port")
        )
    key = moonraker.text("api_key")
    return HostConfig(
        path=path,
        server_url=_server(server),
        server_chosen=server.text("url") is not None,
        verify_tls=server.boolean("verify_tls") is not False,
        token=_token(server, data_dir),
        token_in_file=server.text("auth_token") is not None,
        moonraker_host=host,
        moonraker_port=moonraker.whole("port", lambda port: 0 < port < 65536, "a port: a number from 1 to 65535")
        or 7125,
        api_key=None if key is None else Secret(key),
        webcams=tuple(
            _webcam(_Reader(shown, section, name, warnings), name)
            for name, section in sections.items()
            if name == "webcam" or name.startswith("webcam ")
        ),
        log_path=_expanded(log.text("path"), path),
        log_level=_level(log, warnings),
        data_dir=data_dir,
        discovery=agent.boolean("discovery") is not False,
        discovery_port=agent.whole("discovery_port", lambda port: 0 < port < 65536, "a port: a number from 1 to 65535")
        or PORT,
        meta=_meta(sections.get("meta")),
        tunnel=_tunnel(tunnel),
        pictures=_pictures(agent),
        sentry_dsn=_sentry(misc, warnings),
        warnings=tuple(warnings),
    )


def _pictures(agent: _Reader) -> PictureRules:
    """Raises ConfigInvalid."""
    limit = agent.whole("upload_limit", lambda kbit: kbit == 0 or 8 <= kbit <= 10_000_000, "kbit/s: 0, or 8 and more")
    return PictureRules(
        back_off=agent.boolean("back_off") is not False,
        upload_kbit=float(limit) if limit else None,
        watch=agent.boolean("watch_cameras") is True,
    )


def _sentry(misc: _Reader, warnings: list[str]) -> Secret | None:
    """Only who says both `in` and where gets reports sent: the public agent's address is not ours to use."""
    wanted, dsn = (misc.text("sentry_opt") or "out").lower(), misc.text("sentry_dsn")
    if wanted not in {"in", "out"}:
        warnings.append(misc.place("sentry_opt", f"{wanted!r} is neither in nor out; nothing is reported"))
    if wanted != "in" or dsn is None:
        return None
    return Secret(dsn)


def default_data_dir(path: Path) -> Path:
    """A folder beside the configuration folder, not in it: Moonraker hands out what is in there."""
    folder = path.resolve().parent
    base = folder.parent if folder.name == "config" and os.access(folder.parent, os.W_OK) else folder
    return base / f".{path.stem}"


def _folder(value: str | None, path: Path, environ: Mapping[str, str]) -> Path:
    if value is not None:
        return _expanded(value, path) or default_data_dir(path)
    # systemd's StateDirectory=, where the unit asks for one.
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(state) if state else default_data_dir(path)


def _expanded(value: str | None, path: Path) -> Path | None:
    return None if value is None else (path.resolve().parent / Path(value).expanduser())


def _server(server: _Reader) -> str:
    value = server.text("url")
    if value is None:
        return DEFAULT_SERVER
    try:
        return server_url(value)
    except ConfigInvalid as error:
        raise ConfigInvalid(server.place("url", str(error))) from None


def _token(server: _Reader, data_dir: Path) -> Secret | None:
    """One in the configuration counts first: `link` empties it there, so it was put in by hand since."""
    value = server.text("auth_token")
    if value is None:
        return read_token(data_dir / "token")
    if not value.isalnum() or not value.isascii() or len(value) > 200:
        raise ConfigInvalid(
            server.place("auth_token", "this is no token (letters and digits only); run `moonraker-obico link`")
        )
    return Secret(value)


def _tunnel(reader: _Reader) -> TunnelTarget:
    host = (reader.text("dest_host") or "127.0.0.1").strip("[]")
    if any(char in host for char in "/ @?#") or not host.isprintable():
        raise ConfigInvalid(
            reader.place("dest_host", f"{host!r} is not a host name or address: leave out http:// and the port")
        )
    tls = reader.boolean("dest_is_ssl") is True
    port = reader.whole("dest_port", lambda port: 0 < port < 65536, "a port: a number from 1 to 65535")
    words = (reader.text("url_blacklist") or "").replace(",", " ").split()
    return TunnelTarget(host, port or (443 if tls else 80), tls, blocked=(*_CAMERA_PATHS, *words))


_CAMERA_PATHS = tuple(
    f"/webcam{number}/?action={what}" for number in ("", "2", "3", "4") for what in ("stream", "snapshot")
)
"""Where the web interfaces' own nginx hands cameras on, as their installers write it."""


def _level(log: _Reader, warnings: list[str]) -> str:
    value = log.text("level")
    if value is None:
        return "INFO"
    if value.upper() not in LEVELS:
        warnings.append(log.place("level", f"{value!r} is none of {', '.join(LEVELS)}; using INFO"))
        return "INFO"
    return value.upper()


def _meta(section: Section | None) -> Mapping[str, str]:
    """What the user wants a server's page to know of an unlinked printer."""
    entries = {} if section is None else section.entries
    return {key[:_META_TEXT]: entry.value[:_META_TEXT] for key, entry in list(entries.items())[:_META_MOST]}


def _webcam(reader: _Reader, section: str) -> WebcamSection:
    try:
        rotation = reader.whole("rotation", lambda turn: turn in {0, 90, 180, 270}, "0, 90, 180 or 270; using 0")
    except ConfigInvalid as error:
        reader.warnings.append(str(error))
        rotation = 0
    if rotation is None and reader.boolean("rotate_90") is not None:
        rotation = 270 if reader.boolean("rotate_90") else 0  # counter-clockwise, as in OctoPrint
    wide = reader.boolean("aspect_ratio_169")
    return WebcamSection(
        name=section.removeprefix("webcam").strip(),
        snapshot_url=reader.text("snapshot_url"),
        stream_url=reader.text("stream_url"),
        flip_h=reader.boolean("flip_h"),
        flip_v=reader.boolean("flip_v"),
        rotation=rotation,
        ratio=None if wide is None else "16:9" if wide else "4:3",
        primary=reader.boolean("is_primary_camera"),
        nozzle=reader.boolean("is_nozzle_camera"),
        verify_tls=reader.boolean("verify_tls") is not False,
    )


def _unknown(sections: Mapping[str, Section], shown: str) -> list[str]:
    """A line for each section and key that nobody knows, with the closest one that somebody does."""
    warnings = []
    for section in sections.values():
        kind = "webcam" if section.name == "webcam" or section.name.startswith("webcam ") else section.name
        if kind == "meta":
            continue
        known = {*KEYS.get(kind, ()), *PUBLIC_KEYS.get(kind, ())}
        if not known:
            close = _closest(kind, [*KEYS, *PUBLIC_KEYS, "meta"])
            warnings.append(f"{shown}, line {section.line}: the section [{section.name}] is not known{close}; ignored")
            continue
        warnings += [
            f"{shown}, [{section.name}] {key}, line {entry.line}: this key is not known{_closest(key, known)}; ignored"
            for key, entry in section.entries.items()
            if key not in known
        ]
    return warnings


def _closest(word: str, known: Iterable[str]) -> str:
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
