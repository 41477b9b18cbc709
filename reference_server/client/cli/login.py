"""Where `obico-fleet login` keeps address and key: one file that only its owner can read."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Login:
    url: str
    key: str = field(repr=False)


def place(environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".config")
    return Path(home) / "obico-fleet" / "login.json"


def load(path: Path) -> Login | None:
    """None if there is none, or none that can be used."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        url, key = found["url"], found["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Login(url, key) if isinstance(url, str) and isinstance(key, str) else None


def save(path: Path, login: Login) -> None:
    """Whole or not at all, with mode 0600 from its first byte. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".login-")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"url": login.url, "key": login.key}, file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def forget(path: Path) -> bool:
    """False: there was nothing."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
