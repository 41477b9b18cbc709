"""The agent's own files: the token, and texts that are replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from agent_core.config import Secret
from agent_core.errors import ConfigInvalid

_TOKEN_LIMIT = 1000


def read_text(path: Path, limit: int, advice: str) -> str:
    """Raises ConfigInvalid with the reason and `advice`."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise ConfigInvalid(f"{path} does not exist: {advice}") from None
    except IsADirectoryError:
        raise ConfigInvalid(f"{path} is a folder, not a file: name the configuration file itself") from None
    except PermissionError:
        raise ConfigInvalid(f"{path} may not be read by this user: check its owner and mode") from None
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise ConfigInvalid(f"{path} is larger than {limit // 1024} kB: this is not the configuration file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigInvalid(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def read_token(path: Path) -> Secret | None:
    """None if there is none. Raises ConfigInvalid if it cannot be read."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")[:_TOKEN_LIMIT].strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigInvalid(f"{path}: the token cannot be read ({error.strerror or error}); check its owner") from None
    if text and not text.isalnum():
        raise ConfigInvalid(f"{path} holds no token: run `moonraker-obico link` again")
    return Secret(text) if text else None


def write_token(path: Path, token: Secret) -> None:
    """Mode 0600 from its first byte on. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_text(path, token.reveal() + "\n", 0o600)


def replace_text(path: Path, text: str, mode: int | None = None) -> None:
    """Atomically and durably. Keeps the old file's mode unless one is given, and a symbolic link. Raises OSError."""
    target = path.resolve()
    if mode is None:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    # Not tempfile: importing that costs the agent a megabyte.
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
