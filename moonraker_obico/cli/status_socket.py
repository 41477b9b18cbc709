"""How `moonraker-obico status` asks the running agent: a unix socket in its data folder that answers with one JSON
object. (A file would wear the memory card, and be old when it is read.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATH_LIMIT = 100
"""sun_path holds 108 bytes; longer paths get a name in Linux's abstract namespace instead."""
_ANSWER_LIMIT = 256 * 1024


def address(path: Path) -> str:
    text = str(path.resolve())
    if len(text.encode()) <= _PATH_LIMIT:
        return text
    return "\0moonraker-obico-" + hashlib.sha256(text.encode()).hexdigest()[:32]


def listen(path: Path) -> socket.socket:
    """Raises OSError. Only to be called by the holder of the lock: a socket left behind is removed."""
    where = address(path)
    if not where.startswith("\0"):
        path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(where)
        if not where.startswith("\0"):
            path.chmod(0o600)
        server.listen(4)
        server.setblocking(False)
    except BaseException:
        server.close()
        raise
    return server


def answer(server: socket.socket, status: Mapping[str, Any]) -> None:
    """Serves one waiting connection; never blocks for longer than a second."""
    with contextlib.suppress(OSError):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(1.0)
            connection.sendall(json.dumps(status).encode())


def ask(path: Path, seconds: float = 3.0) -> dict[str, Any] | None:
    """The running agent's status; None if none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(seconds)
        try:
            client.connect(address(path))
            parts, size = [], 0
            while (part := client.recv(65536)) and size < _ANSWER_LIMIT:
                parts.append(part)
                size += len(part)
            told = json.loads(b"".join(parts))
        except (OSError, ValueError):
            return None
    return told if isinstance(told, dict) else None
