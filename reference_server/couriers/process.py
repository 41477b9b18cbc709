"""The start and the end of a child process that carries things for the server (child.py)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

IDLE = 15.0
"""Seconds that a child waits for more before it is ended."""

MOST_ANSWER = 64 * 1024
"""Bytes of one line that a child answers."""

KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")
"""What a child gets of the server's environment: no proxies, no passwords."""


async def start_child() -> asyncio.subprocess.Process:
    """Raises OSError."""
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = str(ROOT)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "reference_server.couriers.child", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment, limit=MOST_ANSWER,
        start_new_session=True,
    )  # fmt: skip


async def end_child(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
