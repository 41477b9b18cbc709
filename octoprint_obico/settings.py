"""The plugin's settings -> the agent's frozen configuration. Imports no OctoPrint; the plugin hands the values in.

The keys are the public plugin's, so that it can be replaced without a new set-up; keys that we do not use stay in
OctoPrint's config.yaml as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from agent_core.config import DEFAULT_SERVER, AgentConfig, CameraConfig, PictureRules, Secret, server_url
from agent_core.errors import ConfigInvalid
from agent_core.features.camera_urls import CameraUrls, resolve_camera_urls
from agent_core.model import CameraInfo, HostSettings

AGENT_NAME = "octoprint_obico"

DEFAULTS: Mapping[str, Any] = {
    "endpoint_prefix": DEFAULT_SERVER,
    "auth_token": "",
    "disable_video_streaming": False,
    # Ours: names of the cameras whose certificate is not checked, and of the one that failure detection looks at.
    "insecure_cameras": [],
    "primary_camera": "",
    # Ours: whether a printer that is not linked makes itself known to the server that was chosen.
    "discovery": True,
    # What the plugin's own pages show, and what the server is told about this computer.
    "pause_notification": True,
    "show_navbar": True,
    "tell_plugins": True,
    # Ours: what pictures may cost (agent_core.config.PictureRules); upload_limit in kbit/s, 0: none.
    "back_off": True,
    "upload_limit": 0,
    "watch_cameras": False,
    # The public plugin's switch for reports of faults, and where they go: nowhere unless both say so.
    "sentry_opt": "out",
    "sentry_dsn": "",
    # Where new releases are looked for (updates.py); config.yaml only.
    "update_repository": "",
}

VERSION = 3
"""Of the settings' form. The public plugin may count on its own; ours begins where our releases do."""

TOKEN_KEY = "auth_token"  # noqa: S105 - the name of the setting, not its value

_TOKEN_LIMIT = 200
_LIMIT_LEAST = 8.0
"""kbit/s; with less a picture would take minutes."""
_CAMERA_LIMIT = 16
"""Cameras that are looked at; more is a fault of a webcam plugin."""


class Compatibility(Protocol):
    """OctoPrint's `WebcamCompatibility`, as far as it is read here."""

    @property
    def stream(self) -> str: ...

    @property
    def snapshot(self) -> str | None: ...

    @property
    def snapshotSslValidation(self) -> bool: ...  # noqa: N802 - OctoPrint's name

    @property
    def streamRatio(self) -> Any: ...  # noqa: N802 - OctoPrint's name


class Webcam(Protocol):
    """OctoPrint's `Webcam`, as far as it is read here."""

    @property
    def name(self) -> str: ...

    @property
    def displayName(self) -> str: ...  # noqa: N802 - OctoPrint's name

    @property
    def flipH(self) -> bool: ...  # noqa: N802 - OctoPrint's name

    @property
    def flipV(self) -> bool: ...  # noqa: N802 - OctoPrint's name

    @property
    def rotate90(self) -> bool: ...

    @property
    def compat(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class ProvidedWebcam:
    """A webcam, and what its provider keeps apart from it: the credentials for its snapshot URL."""

    webcam: Webcam
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings that we read, checked."""

    server: str
    token: Secret | None
    insecure_cameras: frozenset[str]
    primary_camera: str
    discovery: bool = True
    pictures: PictureRules = field(default_factory=PictureRules)
    sentry_dsn: Secret | None = None
    """Where reports of faults go; None: nowhere."""


def preferences(values: Mapping[str, Any]) -> Preferences:
    """The settings checked, whatever a person wrote into config.yaml. Raises ConfigInvalid."""
    address = values.get("endpoint_prefix")
    if not isinstance(address, str):
        raise ConfigInvalid("the server address (endpoint_prefix) in the Obico settings must be a text like https://…")
    token = values.get(TOKEN_KEY)
    if token is not None and not isinstance(token, str):
        # YAML reads an unquoted token of digits alone as a number.
        token = str(token) if isinstance(token, int) and not isinstance(token, bool) else ""
    token = (token or "").strip()
    if len(token) > _TOKEN_LIMIT or any(char.isspace() or not char.isprintable() for char in token):
        raise ConfigInvalid("the printer's token (auth_token) is damaged: link the printer again in the Obico settings")
    dsn = str(values.get("sentry_dsn") or "").strip()
    return Preferences(
        server=server_url(address),
        token=Secret(token) if token else None,
        insecure_cameras=frozenset(_names(values.get("insecure_cameras"))),
        primary_camera=str(values.get("primary_camera") or ""),
        discovery=values.get("discovery") is not False,
        pictures=PictureRules(
            back_off=values.get("back_off") is not False,
            upload_kbit=_limit(values.get("upload_limit")),
            watch=values.get("watch_cameras") is True,
        ),
        sentry_dsn=Secret(dsn) if dsn and values.get("sentry_opt") == "in" else None,
    )


def _limit(value: object) -> float | None:
    """kbit/s; None: none. A browser's form sends texts."""
    try:
        number = float(str(value or 0))
    except ValueError:
        return None
    return max(number, _LIMIT_LEAST) if 0 < number < 1e9 else None


def agent_config(chosen: Preferences, cameras: Sequence[CameraConfig], *, version: str, data_dir: str) -> AgentConfig:
    return AgentConfig(
        agent_name=AGENT_NAME,
        agent_version=version,
        server_url=chosen.server,
        token=chosen.token,
        data_dir=data_dir,
        cameras=tuple(cameras),
        pictures=chosen.pictures,
    )


def cameras(provided: Iterable[ProvidedWebcam], chosen: Preferences, default: str | None) -> tuple[CameraConfig, ...]:
    """OctoPrint's webcams as cameras of the agent. Those without a picture's address over HTTP are left out.

    `default`: the name of OctoPrint's own snapshot webcam, the primary one unless the user chose another.
    """
    found: list[tuple[str, CameraConfig]] = []
    taken: set[str] = set()
    for entry in provided:
        webcam = entry.webcam
        compat: Compatibility | None = webcam.compat
        if compat is None or len(found) >= _CAMERA_LIMIT:
            continue
        urls = _urls(compat, entry)
        if not urls.usable:
            continue
        shown = _unique(webcam.displayName or webcam.name, taken)
        info = CameraInfo(
            name=shown,
            flip_h=bool(webcam.flipH),
            flip_v=bool(webcam.flipV),
            # OctoPrint turns by 90° counter-clockwise, rotation counts clockwise.
            rotation=270 if webcam.rotate90 else 0,
            ratio="16:9" if getattr(compat.streamRatio, "value", compat.streamRatio) == "16:9" else "4:3",
        )
        verify = bool(compat.snapshotSslValidation) and shown not in chosen.insecure_cameras
        found.append(
            (webcam.name, CameraConfig(info, snapshot_url=urls.snapshot, stream_url=urls.stream, verify_tls=verify))
        )
    return tuple(_with_primary(found, chosen.primary_camera, default))


def _with_primary(
    found: Sequence[tuple[str, CameraConfig]], wanted: str, default: str | None
) -> Iterable[CameraConfig]:
    """Exactly one is primary: the user's choice, else OctoPrint's own, else the first."""
    shown = [camera.info.name for _, camera in found]
    names = [name for name, _ in found]
    first = shown.index(wanted) if wanted in shown else names.index(default) if default in names else 0
    for position, (_, camera) in enumerate(found):
        info = camera.info
        yield CameraConfig(
            CameraInfo(
                name=info.name, primary=position == first, flip_h=info.flip_h, flip_v=info.flip_v,
                rotation=info.rotation, ratio=info.ratio,
            ),
            snapshot_url=camera.snapshot_url,
            stream_url=camera.stream_url,
            verify_tls=camera.verify_tls,
        )  # fmt: skip


def _urls(compat: Compatibility, entry: ProvidedWebcam) -> CameraUrls:
    """Absolute addresses with the provider's credentials in them; none for a camera without usable ones."""
    try:
        urls = resolve_camera_urls(compat.snapshot, compat.stream)
    except ConfigInvalid:
        return CameraUrls(None, None)
    return CameraUrls(_signed(urls.snapshot, entry), urls.stream)


def _signed(url: str | None, entry: ProvidedWebcam) -> str | None:
    if url is None or not entry.user:
        return url
    parts = urlsplit(url)
    if "@" in parts.netloc:
        return url
    who = f"{quote(entry.user, safe='')}:{quote(entry.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{who}@{parts.netloc}"))


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    taken.add(candidate)
    return candidate


def _names(value: object) -> Collection[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, (list, tuple)) else []


# --- what a browser may send and see ----------------------------------------------------------------------------------


def without_token(data: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for the browser: the token is not among them, whoever asks."""
    return {key: value for key, value in data.items() if key != TOKEN_KEY}


_FILE_ONLY = frozenset({"update_repository"})
"""Keys that decide what code is installed: no browser changes them."""


def migrated(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be written anew of settings of an older form (a public plugin's, or mended by hand); the rest stays as
    it is, keys that we do not know too. Nothing here refuses: what cannot be mended is told when it is used.
    """
    changes: dict[str, Any] = {}
    address, token = values.get("endpoint_prefix"), values.get(TOKEN_KEY)
    if address is not None and not isinstance(address, str):
        changes["endpoint_prefix"] = DEFAULT_SERVER
    elif address:
        with contextlib.suppress(ConfigInvalid):  # the settings page says what is wrong with it
            changes["endpoint_prefix"] = server_url(address)
    if isinstance(token, int) and not isinstance(token, bool):
        changes[TOKEN_KEY] = str(token)  # YAML took a token of digits for a number
    elif isinstance(token, str) and token != token.strip():
        changes[TOKEN_KEY] = token.strip()
    cameras = values.get("insecure_cameras")
    if cameras is not None and list(_names(cameras)) != cameras:
        changes["insecure_cameras"] = list(_names(cameras))
    for key, default in DEFAULTS.items():
        if isinstance(default, bool) and isinstance(values.get(key), str):
            changes[key] = str(values[key]).strip().lower() in {"true", "yes", "on", "1"}
    return {key: value for key, value in changes.items() if value != values.get(key)}


def saveable(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a browser may change by saving settings: all but the token, which only linking sets; addresses checked.

    Raises ConfigInvalid.
    """
    wanted = {key: value for key, value in without_token(data).items() if key not in _FILE_ONLY}
    if "endpoint_prefix" in wanted:
        wanted["endpoint_prefix"] = server_url(str(wanted["endpoint_prefix"] or ""))
    return wanted


# --- the settings block of the status message -------------------------------------------------------------------------

_PROFILE_LIMIT = 50
_PLUGIN_LIMIT = 200
_METADATA_LIMIT = 60
_TEXT_LIMIT = 300


def host_settings(
    configured: Iterable[CameraConfig],
    profiles: object,
    *,
    uname: Sequence[str],
    board: str,
    plugins: Iterable[str],
    firmware: Mapping[str, Any] | None,
    octoprint_version: str,
) -> HostSettings:
    """The slow-moving facts (payload-mapping.md §8). `profiles`: OctoPrint's temperature presets."""
    presets = profiles if isinstance(profiles, (list, tuple)) else ()
    return HostSettings(
        cameras=tuple(camera.info for camera in configured),
        temperature_profiles=tuple(
            {key: entry.get(key) for key in ("name", "extruder", "bed", "chamber") if key in entry}
            for entry in presets[:_PROFILE_LIMIT]
            if isinstance(entry, Mapping)
        ),
        platform_uname=(*uname, board),
        installed_plugins=tuple(sorted(plugins)[:_PLUGIN_LIMIT]),
        printer_metadata=None if firmware is None else _metadata(firmware),
        extra={"octoprint_version": octoprint_version},
    )


def _metadata(firmware: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key)[:_TEXT_LIMIT]: str(value)[:_TEXT_LIMIT] for key, value in list(firmware.items())[:_METADATA_LIMIT]}
