"""The command line: `obico-reference-server [run|create-user]`. Every problem is one line, and exit code 2."""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from reference_server import VERSION
from reference_server.config import SETTINGS, ConfigError, ServerConfig, load_config
from reference_server.lock import Locked, exclusive
from reference_server.logs import configure
from reference_server.memory import return_large_blocks
from reference_server.services.errors import ServiceError
from reference_server.store.migrate import MigrationError

MOST_FRAME = 4 * 1024 * 1024
"""Bytes of a WebSocket frame; text over 1 MiB is ignored without closing the connection (agent_core.wire.codec)."""

SHUTDOWN_TIME = 5
"""Seconds for requests that are under way when the server is told to stop."""


class Problem(Exception):
    """What stops the program: one line that says what to do."""


def make_parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for setting in SETTINGS:
        if setting.secret:
            continue
        default = f"; default: {setting.default}" if setting.default else ""
        options.add_argument(
            f"--{setting.option}", metavar=setting.metavar, help=f"{setting.help} [{setting.env}{default}]"
        )
    parser = argparse.ArgumentParser(
        prog="obico-reference-server", parents=[options], argument_default=argparse.SUPPRESS,
        description="Self-hosted server for 3D printers with Obico agents. Without a command it runs the server.",
        epilog="Each option can be set by the environment variable in brackets instead."
        + "".join(f" {setting.env}: {setting.help}." for setting in SETTINGS if setting.secret),
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"obico-reference-server {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="[COMMAND]")
    commands.add_parser("run", parents=[options], help="run the server (the default)")
    add = commands.add_parser(
        "create-user", parents=[options], help="add a user; the password is asked for, or read from standard input"
    )
    add.add_argument("name", help="the name to log in with")
    add.add_argument("--email", default="", help="e-mail address (optional)")
    add.add_argument(
        "--password-stdin", action="store_true", default=False, help="read the password from standard input"
    )
    return parser


def main(
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """The exit code: 0 fine, 2 something that a person must put right."""
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr
    parsed = vars(make_parser().parse_args(arguments))
    try:
        config = load_config({setting.key: parsed.get(setting.key) for setting in SETTINGS}, environment)
        os.umask(0o077)  # the data folder is nobody else's business
        _prepare(config.data_dir)
        if parsed.get("command") == "create-user":
            _create_user(config, parsed["name"], parsed["email"], parsed["password_stdin"], stdout)
        else:
            _run(config, stdout)
    except (Problem, ConfigError, Locked, MigrationError, ServiceError) as problem:
        stderr.write(f"obico-reference-server: {problem}\n")
        return 2
    except OSError as error:
        stderr.write(f"obico-reference-server: {error.filename or config.data_dir}: {error.strerror or error}\n")
        return 2
    return 0


def _prepare(folder: Path) -> None:
    advice = "choose another folder with --data-dir"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Problem(f"the data folder {folder} cannot be made: {error.strerror}; {advice}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Problem(f"the data folder {folder} cannot be written to: change its owner, or {advice}")


def _create_user(config: ServerConfig, name: str, email: str, from_stdin: bool, stdout: TextIO) -> None:
    from reference_server.app import make_accounts, open_database

    if from_stdin or not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise Problem("the two passwords differ: nothing was done")
    database = open_database(config.database)
    try:
        user = make_accounts(database).create_user(name, password, email)
    finally:
        database.close()
    stdout.write(f"User {user.name} was created{' and owns this server' if user.is_owner else ''}.\n")


def _listen(config: ServerConfig) -> socket.socket:
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise Problem(f"the address {config.host} is unknown: --host needs an address of this machine") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise Problem(
            f"{config.host}:{config.port} cannot be listened on: {error.strerror}; is another program using that port? "
            "Choose another with --port"
        ) from None
    listener.setblocking(False)
    return listener


def _run(config: ServerConfig, stdout: TextIO) -> None:
    # Imported late: --help and --version answer at once.
    import uvicorn

    from reference_server.app import create_app
    from reference_server.realtime.transport import PING_ANSWER, PING_EVERY, SocketProtocol

    with exclusive(config.data_dir), _listen(config) as listener:
        return_large_blocks()
        configure(config.log_level, config.log_format)
        config = replace(config, port=listener.getsockname()[1])
        app = create_app(config)
        settings = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, ws=SocketProtocol,
            ws_max_size=MOST_FRAME, ws_ping_interval=PING_EVERY, ws_ping_timeout=PING_ANSWER,
            ws_per_message_deflate=False, proxy_headers=bool(config.trusted_proxies),
            forwarded_allow_ips=config.trusted_proxies, timeout_graceful_shutdown=SHUTDOWN_TIME,
        )  # fmt: skip
        server = uvicorn.Server(settings)
        _announce(config, app.state.context.accounts, stdout)
        # uvicorn takes the signals while it runs and hands them on when it has ended: by then all is done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])


def _announce(config: ServerConfig, accounts: object, stdout: TextIO) -> None:
    from reference_server.services.accounts import Accounts

    stdout.write(f"The server is at {config.local_url}\n")
    if isinstance(accounts, Accounts) and accounts.setup_needed():
        link = f"{config.local_url}/setup#{accounts.begin_setup()}"
        stdout.write(f"Open this link once, within 24 hours, to choose your name and password:\n  {link}\n")
    stdout.flush()
