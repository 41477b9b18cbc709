"""Signed, expiring addresses of media files: whoever has one may fetch that file for one to two hours.

`/media/<path>?v=<version>&expires=<unix>&digest=<HMAC-SHA256 of path and expiry>`. The expiry moves once an hour, so
that an address stays the same (and cached) for a while.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from urllib.parse import quote, urlencode

from reference_server.services.secrets import RandomBytes

WINDOW = 3600
"""Seconds."""

KEY_BYTES = 32


class MediaSigner:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def url(self, path: str, now: float, version: int | None = None) -> str:
        """The address of a file, without scheme and host; `version` makes browsers fetch a file anew."""
        expires = (int(now) // WINDOW + 2) * WINDOW
        query = {"expires": expires, "digest": self.digest(path, expires)}
        if version is not None:
            query = {"v": version, **query}
        return f"/media/{quote(path)}?{urlencode(query)}"

    def digest(self, path: str, expires: int) -> str:
        text = f"{expires} {path}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()

    def allows(self, path: str, expires: str, digest: str, now: float) -> bool:
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12 or not digest.isascii():
            return False
        expected = self.digest(path, int(expires))
        return hmac.compare_digest(digest, expected) and int(expires) > now


def load_key(path: Path, random: RandomBytes) -> bytes:
    """The server's secret key, made at the first start and readable by its own user only."""
    try:
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    except FileNotFoundError:
        pass
    key = random(KEY_BYTES)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_bytes(key)
    temporary.replace(path)
    return key
