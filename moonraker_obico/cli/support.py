"""`support-bundle`: one zip for whoever is to help, without secrets."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from agent_core.features import support_bundle
from agent_core.features.scrub import Scrubber
from agent_core.transport.http import HttpClient
from moonraker_obico.cli import exit_codes, status_socket
from moonraker_obico.cli.doctor import examine
from moonraker_obico.config import HostConfig, load
from moonraker_obico.files import read_text
from moonraker_obico.ini import SIZE_LIMIT
from moonraker_obico.version import AGENT_VERSION

_JOURNAL = ("journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines=4000", "--unit=moonraker-obico*")
_JOURNAL_SECONDS = 20.0


def support(path: Path, *, output: Path | None = None) -> int:
    """Writes the zip and says where; the exit status. Raises ConfigInvalid."""
    config = load(path)
    now = time.time()
    name = time.strftime("moonraker-obico-support-%Y%m%d-%H%M%S.zip", time.localtime(now))
    target = (output / name if output is not None and output.is_dir() else output) or Path(name)
    print("Looking at everything, as `moonraker-obico doctor` does …")
    bundle = support_bundle.build(_parts(config), Scrubber(config.secrets(), addresses=True), now)
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(bundle)
    except OSError as error:
        print(f"{target} cannot be written ({error.strerror or error}): name another place with --output")
        return exit_codes.PROBLEM
    print(f"{target} ({len(bundle) // 1024} kB): configuration, log, state and findings, without passwords and keys.")
    print("Look through it before you share it: names of files and cameras are still in it.")
    return exit_codes.OK


def _parts(config: HostConfig) -> dict[str, Any]:
    http = HttpClient(f"moonraker-obico/{AGENT_VERSION}")
    try:
        findings = [finding.to_json() for finding in examine(config.path, http)]
    finally:
        http.close()
    status = status_socket.ask(config.status_path)
    advice = "write it, or copy config.example.ini there"
    return {
        "versions.json": support_bundle.versions(agent=AGENT_VERSION),
        "doctor.json": findings,
        "status.json": status if status is not None else {"agent": None},
        "moonraker-obico.cfg": read_text(config.path, SIZE_LIMIT, advice),
        **_logs(config),
    }


def _logs(config: HostConfig) -> dict[str, str]:
    if config.log_path is None:
        return {"journal.log": _journal()}
    older = Path(f"{config.log_path}.1")
    logs = {"moonraker-obico.log": support_bundle.tail(config.log_path)}
    return {"moonraker-obico.log.1": support_bundle.tail(older), **logs} if older.exists() else logs


def _journal() -> str:
    try:
        found = subprocess.run(_JOURNAL, capture_output=True, timeout=_JOURNAL_SECONDS, check=False)  # noqa: S603 - a fixed command
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"(the journal cannot be read: {type(error).__name__})\n"
    return found.stdout.decode("utf-8", "replace") or found.stderr.decode("utf-8", "replace")
