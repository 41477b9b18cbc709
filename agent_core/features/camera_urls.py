"""The addresses of cameras: as people and hosts write them, as they are fetched, as they may be shown. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

from agent_core.errors import ConfigInvalid
from agent_core.features.digest import Credentials

LOCAL = "http://127.0.0.1/"
"""What a relative address is meant to: the web server in front of the host, on its port 80 (payload-mapping.md §8)."""

_HARMLESS = frozenset(
    {"action", "camera", "cam", "channel", "chn", "fps", "h", "height", "id", "quality", "resolution", "rotate",
     "stream", "t", "type", "w", "width"}
)  # fmt: skip
"""Query parameters whose values are shown; every other might be a password under some name."""

_ACTION = re.compile(r"(?<=[?&]action=)(stream|snapshot)(?=&|#|$)")


@dataclass(frozen=True, slots=True)
class CameraUrls:
    """Absolute http(s) addresses, None where there is none."""

    snapshot: str | None
    stream: str | None

    @property
    def usable(self) -> bool:
        return bool(self.snapshot or self.stream)


def resolve_camera_urls(snapshot: str | None, stream: str | None, base: str = LOCAL) -> CameraUrls:
    """Both addresses of a camera, from whatever of them its host knows (payload-mapping.md §8).

    A relative one (`/webcam/?action=stream`) is meant from `base`. mjpg-streamer's `?action=` is switched: the snapshot
    address is guessed from the stream's and the other way round, and a stream put in the snapshot's place is mended.
    What cannot be fetched by HTTP (`rtsp:`, `webrtc:`) is None. Raises ConfigInvalid for an address that is none.
    """
    still = _absolute(snapshot, base)
    video = _absolute(stream, base)
    if still is None and video is not None and _ACTION.search(video):
        still = video
    if video is None and still is not None and _ACTION.search(still):
        video = still
    return CameraUrls(
        snapshot=still and _ACTION.sub("snapshot", still), stream=video and _ACTION.sub("stream", video)
    )  # fmt: skip


def _absolute(address: str | None, base: str) -> str | None:
    text = (address or "").strip()
    if not text:
        return None
    # urljoin takes `camera:8080/x` for a scheme named `camera`; people mean a host.
    if re.match(r"[\w.-]+:\d+(/|$)", text):
        text = "http://" + text
    try:
        url = urljoin(base, text)
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise ConfigInvalid(f"the camera address {shown(text)!r} cannot be read") from None
    return url if usable else None


def shown(url: str) -> str:
    """The address for logs and messages: user name, password and unknown query values masked."""
    text = "".join(char for char in url if char.isprintable())
    try:
        parts = urlsplit(text)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return "(an address that cannot be read)"
    host = parts.netloc.rpartition("@")[2]
    masked = [(name, value if name.lower() in _HARMLESS else "***") for name, value in query]
    netloc = f"***@{host}" if "@" in parts.netloc else host
    # A query without `=` may be a secret as a whole; parse_qsl gives it as a name.
    whole = "***" if parts.query and "=" not in parts.query else urlencode(masked, safe="*/:,")
    path = "***@" + parts.path.rpartition("@")[2] if not parts.netloc and "@" in parts.path else parts.path
    return urlunsplit((parts.scheme, netloc, path, whole, ""))


def without_credentials(url: str) -> tuple[str, Credentials | None]:
    """The address as it is asked, and the user name and password that stood in it (percent-decoded)."""
    parts = urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    bare = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
    if not at:
        return bare, None
    user, _, password = userinfo.partition(":")
    return bare, Credentials(unquote(user), unquote(password))
