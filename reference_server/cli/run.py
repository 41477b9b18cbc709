"""`run`: the server itself."""

from __future__ import annotations

import signal
import socket
from dataclasses import replace

from reference_server.cli.common import Call, Problem, prepare
from reference_server.config import ServerConfig
from reference_server.lock import exclusive
from reference_server.logs import configure
from reference_server.memory import open_many_files, return_large_blocks, share_often, spare_collections

MOST_FRAME = 17 * 1024 * 1024
"""Bytes of a WebSocket message; a public agent's tunnel answers in one. Text over 1 MiB and what is over 16 MiB is
ignored without closing the connection (agent_core.wire.codec)."""

SHUTDOWN_TIME = 5
"""Seconds for requests that are under way when the server is told to stop."""

EXAMPLES = """\
examples:
  obico-reference-server
      on this machine only, at http://127.0.0.1:3334
  obico-reference-server run --host 0.0.0.0
      for the whole home network
  obico-reference-server run --public-url https://printers.example.org --log-format json
      behind a reverse proxy (docs/operation.md)
"""


def run(call: Call) -> int:
    # Imported late: --help and --version answer at once.
    import uvicorn

    from reference_server.app import create_app
    from reference_server.realtime.serving import WebServer
    from reference_server.realtime.transport import PING_ANSWER, PING_EVERY, SocketProtocol

    config = call.config
    prepare(config.data_dir)
    with exclusive(config.data_dir), _listen(config) as listener:
        return_large_blocks()
        open_many_files()
        share_often()
        configure(config.log_level, config.log_format)
        config = replace(config, port=listener.getsockname()[1])
        app = create_app(config)
        settings = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, ws=SocketProtocol,
            ws_max_size=MOST_FRAME, ws_ping_interval=PING_EVERY, ws_ping_timeout=PING_ANSWER,
            ws_per_message_deflate=False, proxy_headers=bool(config.trusted_proxies),
            forwarded_allow_ips=config.trusted_proxies, timeout_graceful_shutdown=SHUTDOWN_TIME,
        )  # fmt: skip
        server = WebServer(settings)
        _announce(call, config, app.state.context.accounts)
        spare_collections()
        # uvicorn takes the signals while it runs and hands them on when it has ended: by then all is done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])
    return 0


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


def _announce(call: Call, config: ServerConfig, accounts: object) -> None:
    from reference_server.services.accounts import Accounts

    call.stdout.write(f"The server is at {config.local_url}\n")
    if isinstance(accounts, Accounts) and accounts.setup_needed():
        link = f"{config.local_url}/setup#{accounts.begin_setup()}"
        call.stdout.write(f"Open this link once, within 24 hours, to choose your name and password:\n  {link}\n")
    call.stdout.flush()
