"""A support bundle: one zip with all that helps to find a fault, and without secrets.

Every part goes through the scrubber on its way in; parts have fixed names, so that none can carry a secret.
"""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from agent_core.features.scrub import Scrubber

PART_LIMIT = 1024 * 1024
"""Characters of a part; of a longer one the end counts."""
LOG_LIMIT = 512 * 1024
"""Bytes of a log file's end."""

README = """\
A support bundle of the Obico agent, made {at}.

Passwords, tokens, keys, cookies, mail addresses and public IP addresses were taken out (*** stands in their place).
Names of files and cameras and addresses of your own network are still in it. Look through it before you share it.

{names}
"""
_PACKAGES = (
    "OctoPrint-Obico", "OctoPrint", "moonraker", "websocket-client", "numpy", "opencv-python-headless", "sentry-sdk",
)  # fmt: skip


def build(parts: Mapping[str, str | Mapping[str, Any] | list[Any]], scrubber: Scrubber, now: float) -> bytes:
    """The zip. `parts`: file name → text, or what becomes JSON."""
    import zipfile

    stamp = time.gmtime(now)
    texts = {name: _text(content, scrubber) for name, content in parts.items()}
    at = time.strftime("%Y-%m-%d %H:%M UTC", stamp)
    readme = README.format(at=at, names="\n".join(f"{name}: {len(text)} characters" for name, text in texts.items()))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in {"README.txt": readme, **texts}.items():
            bundle.writestr(zipfile.ZipInfo(name, stamp[:6]), text, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _text(content: str | Mapping[str, Any] | list[Any], scrubber: Scrubber) -> str:
    if isinstance(content, str):
        return scrubber.text(content[-PART_LIMIT:])
    return json.dumps(scrubber.value(content), indent=2, ensure_ascii=False, default=str)[:PART_LIMIT]


def tail(path: Path, limit: int = LOG_LIMIT) -> str:
    """The end of a log, from the beginning of a line; why not, if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - limit))
            content = file.read(limit)
    except OSError as error:
        return f"({path.name} cannot be read: {error.strerror})\n"
    text = content.decode("utf-8", "replace")
    # Half a line might hold half a secret, which no pattern knows.
    return text if size <= limit else text.partition("\n")[2]


def versions(**more: str) -> dict[str, Any]:
    """What runs here."""
    return {
        **more,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "distribution": _distribution(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name)) is not None},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
