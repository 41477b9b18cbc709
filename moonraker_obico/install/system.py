"""What the installer needs of the machine: programs, root's rights, Moonraker's answers, files. Tests have another."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_core.config import Secret

REFUSED = object()
"""Moonraker's answer to whom it does not let in."""
UNIT_DIR = Path("/etc/systemd/system")
PROGRAM_SECONDS = 900.0
"""pip on a slow card and a slow line; nothing else comes near."""


class Trouble(Exception):
    """What went wrong and what to do, for the person at the screen. Everything was taken back."""


def surroundings(environ: Mapping[str, str]) -> dict[str, str]:
    """For the programs that are started: what names this Python's own modules would confuse that of the environment."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in environ.items() if name not in ours}


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str


@dataclass(slots=True)
class System:
    """`yes`: nobody is asked, every question is answered by its default."""

    home: Path = field(default_factory=Path.home)
    unit_dir: Path = UNIT_DIR
    yes: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: surroundings(os.environ))
    uid: int = field(default_factory=os.getuid)
    read_line: Callable[[str], str] = input

    @property
    def user(self) -> str:
        return pwd.getpwuid(self.uid).pw_name

    @property
    def interactive(self) -> bool:
        return not self.yes and sys.stdin is not None and sys.stdin.isatty()

    def say(self, text: str = "") -> None:
        # A screen that is gone (a lost connection, a closed pipe) is no reason to stop half-way.
        with contextlib.suppress(OSError):
            print(text, flush=True)

    def agrees(self, question: str) -> bool:
        """Yes is the default; without a terminal nobody can be asked, and only --yes agrees."""
        if self.yes:
            return True
        try:
            return self.read_line(f"{question} [Y/n] ").strip().lower() in {"", "y", "yes"}
        except EOFError:
            return False

    # --- programs ---

    def which(self, name: str) -> str | None:
        return shutil.which(name, path=self.environ.get("PATH"))

    def run(self, arguments: Sequence[str | Path], *, timeout: float = PROGRAM_SECONDS) -> Ran:
        """Output and errors together. Never raises: a program that cannot be started has code 127."""
        try:
            done = subprocess.run(
                [str(word) for word in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env=dict(self.environ), timeout=timeout, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return Ran(127, str(error))
        return Ran(done.returncode, done.stdout.decode("utf-8", "replace"))

    def as_root(self, arguments: Sequence[str | Path]) -> list[str]:
        words = [str(word) for word in arguments]
        return words if self.uid == 0 else ["sudo", *words]

    def run_as_root(self, arguments: Sequence[str | Path]) -> None:
        """With the terminal: sudo may ask for the password. Raises Trouble."""
        words = self.as_root(arguments)
        try:
            done = subprocess.run(words, env=dict(self.environ), timeout=PROGRAM_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Trouble(f"`{shlex.join(words)}` could not be run: {error}") from None
        if done.returncode != 0:
            raise Trouble(f"`{shlex.join(words)}` failed with exit status {done.returncode}")

    # --- Moonraker ---

    def moonraker(self, host: str, port: int, path: str, *, method: str = "GET", key: Secret | None = None) -> Any:
        """The `result` of one call; REFUSED where it wants a key or another one; None if there is no answer."""
        where = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
        request = urllib.request.Request(
            where,
            method=method,
            data=b"" if method == "POST" else None,
            headers={} if key is None else {"X-Api-Key": key.reveal()},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=4.0) as answer:
                told = json.loads(answer.read(1_000_000))
        except urllib.error.HTTPError as error:
            error.close()
            return REFUSED if error.code in {401, 403} else None
        except (OSError, ValueError):
            return None
        return told.get("result") if isinstance(told, dict) else None

    def api_key(self, comms: Path) -> Secret | None:
        """Moonraker's key, by its own unix socket, which lets in whoever owns the printer's folder; None if it cannot
        be had. (JSON-RPC, each message ended by a byte 3.)
        """
        asked = json.dumps({"jsonrpc": "2.0", "method": "access.get_api_key", "id": 1}).encode() + b"\x03"
        told = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(4.0)
                client.connect(str(comms / "moonraker.sock"))
                client.sendall(asked)
                while b"\x03" not in told and len(told) < 10_000 and (part := client.recv(4096)):
                    told += part
            key = json.loads(told.partition(b"\x03")[0])["result"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Secret(key) if isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9_.-]{8,200}", key) else None


# --- files ------------------------------------------------------------------------------------------------------------


def read(path: Path) -> str | None:
    """None if there is no such file; what is not UTF-8 survives being written again. Raises Trouble."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error.strerror or error}") from None


def write(path: Path, text: str, mode: int | None = None) -> None:
    """As a whole or not at all, also in a power cut; keeps mode and symbolic links. Raises Trouble."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.obico-new")
    try:
        if mode is None:
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
        _sync(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise Trouble(f"{path} cannot be written: {error.strerror or error}") from None


def remove(path: Path) -> None:
    """Raises Trouble."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Trouble(f"{path} cannot be removed: {error.strerror or error}") from None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
