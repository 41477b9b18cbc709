"""`doctor`: one line for each thing that can be wrong, with what to do about it."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from reference_server.cli.common import Call
from reference_server.config import ServerConfig
from reference_server.lock import Locked, exclusive

EXAMPLES = """\
It takes the options of `run`: give it the same. Exit code 0: all well; 1: at least one line begins with BAD.

example:
  obico-reference-server doctor --public-url https://printers.example.org
"""

LITTLE_SPACE, NO_SPACE = 2_000_000_000, 200_000_000  # bytes
MOST_SKEW = 60.0  # s


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: ok, note or BAD."""

    level: str
    what: str
    text: str


Check = Callable[[ServerConfig], Iterator[Finding]]


def doctor(call: Call) -> int:
    findings = [finding for check in CHECKS for finding in check(call.config)]
    for finding in findings:
        call.say(f"{finding.level:4} {finding.what}: {finding.text}")
    return 1 if any(finding.level == "BAD" for finding in findings) else 0


def _folder(config: ServerConfig) -> Iterator[Finding]:
    folder = config.data_dir
    if not folder.is_dir():
        yield Finding("note", "data folder", f"{folder} is not there yet; the first start makes it")
        return
    mode = folder.stat().st_mode & 0o777
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("BAD", "data folder", f"{folder} cannot be written to: change its owner")
    elif mode & 0o077:
        yield Finding("BAD", "data folder", f"others can look into {folder}: chmod 700 {folder}")
    else:
        yield Finding("ok", "data folder", f"{folder}, readable by its owner only")
    for name in ("secret.key", "server.sqlite3"):
        path = folder / name
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding("BAD", "file modes", f"others can read {path}: chmod 600 {path}")


def _space(config: ServerConfig) -> Iterator[Finding]:
    folder = config.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free on the disk of {folder}"
    if free < NO_SPACE:
        yield Finding("BAD", "disk", f"{text}: make room, or nothing can be stored soon")
    elif free < LITTLE_SPACE:
        yield Finding("note", "disk", f"{text}: not much for videos")
    else:
        yield Finding("ok", "disk", text)


def _database(config: ServerConfig) -> Iterator[Finding]:
    from reference_server.store.migrate import HEAD, known_revisions

    if not config.database.is_file():
        yield Finding("note", "database", "there is none yet; the first start makes it")
        return
    try:
        with closing(sqlite3.connect(f"file:{config.database}?mode=ro", uri=True, timeout=10)) as database:
            verdict = [row[0] for row in database.execute("PRAGMA integrity_check(3)")]
            strays = database.execute("PRAGMA foreign_key_check").fetchall()
            revision = str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
            users = database.execute("SELECT count(*) FROM users").fetchone()[0]
    except (sqlite3.Error, TypeError) as error:
        yield Finding("BAD", "database", f"{config.database} cannot be used ({error}): restore a backup")
        return
    if verdict != ["ok"] or strays:
        words = "; ".join(verdict) if verdict != ["ok"] else f"{len(strays)} rows point nowhere"
        yield Finding("BAD", "database", f"{config.database} is damaged ({words}): restore a backup")
    else:
        yield Finding("ok", "database", f"whole, {config.database.stat().st_size / 1e6:.1f} MB, {users} users")
    if revision not in known_revisions():
        yield Finding("BAD", "version", f"the database is of a newer program ({revision}): install that one again")
    elif revision != HEAD:
        yield Finding("note", "version", f"the database is at {revision}; the next start brings it to {HEAD}")
    if users == 0:
        yield Finding("note", "users", "there is nobody yet: open the link that the server prints when it starts")


def _port(config: ServerConfig) -> Iterator[Finding]:
    if config.data_dir.is_dir():
        try:
            with exclusive(config.data_dir):
                pass
        except Locked:
            yield from _running(config)
            return
        except OSError:
            pass  # said already
    where = f"{config.host}:{config.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        why = error.strerror or error
        yield Finding("BAD", "port", f"{where} cannot be listened on ({why}): choose another --port")
    else:
        yield Finding("ok", "port", f"{where} is free; the server does not run")


def _running(config: ServerConfig) -> Iterator[Finding]:
    from reference_server.net.guard import FetchFailed, guarded_request
    from reference_server.net.policy import EVERYTHING_LOCAL

    url = f"http://{_local_host(config)}:{config.port}/readyz"
    try:
        answer = guarded_request("GET", url, timeout=5, most_bytes=10_000, policy=EVERYTHING_LOCAL)
    except FetchFailed as error:
        yield Finding("BAD", "server", f"it runs, but does not answer at {url} ({error}): is this its --port?")
        return
    if answer.status == 200:
        yield Finding("ok", "server", f"it runs and is ready at {url}")
    else:
        yield Finding("BAD", "server", f"it runs and says that it is not ready ({answer.status}): see its log")


def _local_host(config: ServerConfig) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    return f"[{host}]" if ":" in host else host


def _public_url(config: ServerConfig) -> Iterator[Finding]:
    from reference_server.net.guard import FetchFailed, guarded_request
    from reference_server.net.policy import EVERYTHING_LOCAL

    if config.public_url is None:
        if config.host not in {"127.0.0.1", "::1", "localhost"}:
            yield Finding("note", "public address", "none is set: links in messages use the address of the request")
        return
    url = f"{config.public_url}/healthz"
    try:
        answer = guarded_request("GET", url, timeout=10, most_bytes=10_000, policy=EVERYTHING_LOCAL)
    except FetchFailed as error:
        yield Finding("BAD", "public address", f"{url} cannot be reached from here ({error}): look at the proxy")
        return
    if answer.status == 200 and b'"ok"' in answer.body:
        yield Finding("ok", "public address", f"{config.public_url} reaches this server")
    else:
        yield Finding("BAD", "public address", f"{url} answers {answer.status}, and not as this server does")
    if config.public_url.startswith("http:"):
        yield Finding("note", "public address", "it is not encrypted: passwords can be read on the way; use https")
    with suppress(KeyError, TypeError, ValueError):
        skew = (datetime.now(timezone.utc) - parsedate_to_datetime(answer.headers["date"])).total_seconds()
        if abs(skew) > MOST_SKEW:
            yield Finding("BAD", "clock", f"this machine's and the proxy's clocks differ by {abs(skew):.0f} s")


def _clock(config: ServerConfig) -> Iterator[Finding]:
    now = datetime.now(timezone.utc)
    newest = max((path.stat().st_mtime for path in (config.database, Path(__file__)) if path.exists()), default=0.0)
    if now.timestamp() < newest - MOST_SKEW:
        yield Finding("BAD", "clock", f"it says {now:%Y-%m-%d %H:%M} UTC, before files were written: set it (NTP)")
    else:
        yield Finding("ok", "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _channels(config: ServerConfig) -> Iterator[Finding]:
    """What failed lately; a channel itself is tried by its own test call, for it may cost money or wake somebody."""
    try:
        with closing(sqlite3.connect(f"file:{config.database}?mode=ro", uri=True, timeout=10)) as database:
            query = "SELECT name, disabled_reason FROM alert_channels WHERE enabled AND failing_since IS NOT NULL"
            failed = database.execute(query).fetchall()
    except sqlite3.Error:
        return  # no database yet, or said already
    for name, error in failed[:10]:
        why = error or "see its deliveries"
        yield Finding("BAD", "alerts", f"{name} takes no messages ({why}): look at its settings")


def _detector(config: ServerConfig) -> Iterator[Finding]:
    if config.detector == "remote":
        parts = urlsplit(config.ml_api_url or "")
        if not parts.hostname:
            yield Finding("BAD", "detector", "a remote one is wanted, without an address: set --ml-api-url")
            return
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname, port), timeout=5).close()
            yield Finding("ok", "detector", f"{config.ml_api_url} can be reached")
        except OSError as error:
            yield Finding("BAD", "detector", f"{config.ml_api_url} cannot be reached ({error.strerror or error})")
    elif config.detector == "local" and not (config.detector_model and config.detector_model.is_file()):
        yield Finding("BAD", "detector", "a local one is wanted, and its model is no file: set --detector-model")
    else:
        yield Finding("ok", "detector", config.detector)


CHECKS: tuple[Check, ...] = (_folder, _space, _database, _clock, _port, _public_url, _channels, _detector)
