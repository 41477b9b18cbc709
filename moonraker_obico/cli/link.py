"""`link`: trades the six digits that a server's page shows for this printer's token."""

from __future__ import annotations

import sys
from pathlib import Path

from agent_core.config import DEFAULT_SERVER, server_url
from agent_core.errors import AgentError, ConfigInvalid
from agent_core.features.linking import Linked, code_digits, verify_code
from agent_core.transport.http import HttpClient
from moonraker_obico.cli import exit_codes, lock
from moonraker_obico.config import HostConfig, load, read
from moonraker_obico.files import replace_text, write_token
from moonraker_obico.ini import SIZE_LIMIT, with_value
from moonraker_obico.version import AGENT_VERSION

TRIES = 3

_NEW_FILE = """\
# Configuration of moonraker-obico; every setting is explained in config.example.ini.

[server]
url: {url}

[moonraker]
host: 127.0.0.1
port: 7125
"""


def link(path: Path, *, server: str | None = None, code: str | None = None) -> int:
    """Asks for what was not given; the exit status. Raises ConfigInvalid."""
    new = not path.exists()
    config = read(_NEW_FILE.format(url=DEFAULT_SERVER), path) if new else load(path)
    url = server_url(server or _ask(f"Server address [{config.server_url}]: ") or config.server_url)
    print(f"Open {url} in a browser, add a printer (or re-link one), and have its six-digit code ready.")
    http = HttpClient(f"moonraker-obico/{AGENT_VERSION}")
    try:
        linked = _verify(http, config, url, code)
    finally:
        http.close()
    if linked is None:
        return exit_codes.NOT_LINKED
    try:
        _keep(path, config, url, linked, new=new)
    except OSError as error:
        print(f"The printer is linked, but its token cannot be kept: {error}", file=sys.stderr)
        return exit_codes.CONFIG
    print(f"Linked to {url} as {linked.printer_name or 'a new printer'}. The token is in {config.token_path}.")
    if lock.holder(config.lock_path) is not None:
        print("The running agent takes it over within some seconds; see `moonraker-obico status`.")
    else:
        print("Now start the agent: `sudo systemctl restart moonraker-obico`, or `moonraker-obico run`.")
    return exit_codes.OK


def _verify(http: HttpClient, config: HostConfig, url: str, code: str | None) -> Linked | None:
    """Up to three tries for somebody who types; one for a code that was given."""
    for _ in range(TRIES if code is None else 1):
        digits = code or _ask("Six-digit code: ")
        if not digits:
            break
        try:
            return verify_code(http, url, code_digits(digits), verify_tls=config.verify_tls)
        except AgentError as error:
            print(f"Not linked: {error}", file=sys.stderr)
            if not isinstance(error, ConfigInvalid) and code is not None:
                break
    return None


def _keep(path: Path, config: HostConfig, url: str, linked: Linked, *, new: bool) -> None:
    """The token into its file, the address into the configuration, where an old token is emptied. Raises OSError."""
    write_token(config.token_path, linked.token)
    if new:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, _NEW_FILE.format(url=url))
        return
    with path.open("rb") as file:
        old = file.read(SIZE_LIMIT).decode("utf-8")
    text = old if config.server_url == url else with_value(old, "server", "url", url)
    if config.token_in_file:
        text = with_value(text, "server", "auth_token", "")
    if text != old:
        replace_text(path, text)


def _ask(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        return ""
