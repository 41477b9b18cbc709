"""The link to a server as files: keeping a token, forgetting it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from agent_core.config import DEFAULT_SERVER, Secret
from agent_core.database import Database
from agent_core.features.machine import MachineRecord
from moonraker_obico.config import HostConfig, read
from moonraker_obico.files import replace_text, write_token
from moonraker_obico.ini import SIZE_LIMIT, with_value

_NEW_FILE = """\
# Configuration of moonraker-obico; every setting is explained in config.example.ini.

[server]
url: {url}

[moonraker]
host: 127.0.0.1
port: 7125
"""


def new_config(path: Path) -> HostConfig:
    """What a configuration file that is yet to be written says. Raises ConfigInvalid."""
    return read(_NEW_FILE.format(url=DEFAULT_SERVER), path)


def keep(config: HostConfig, url: str, token: Secret, record: MachineRecord) -> None:
    """The token into its file, the address into the configuration, where an old token is emptied. Raises OSError."""
    if config.token is not None and record.is_another():
        # What waits in a copied folder is the other printer's. Its token goes before the record says that we are its
        # machine: whenever this ends, the copy must not have both.
        forget(config)
        with contextlib.closing(Database(str(config.data_dir))) as database:
            database.start_over()
    record.keep()
    write_token(config.token_path, token)
    path = config.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, _NEW_FILE.format(url=url))
        return
    _rewrite(config, url)


def forget(config: HostConfig) -> None:
    """The token is gone, from everywhere, and no copy stays: who wants it back links anew. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        config.token_path.unlink()
    if config.path.exists():
        _rewrite(config, config.server_url)


def _rewrite(config: HostConfig, url: str) -> None:
    path = config.path
    with path.open("rb") as file:
        old = file.read(SIZE_LIMIT).decode("utf-8")
    text = old if config.server_url == url else with_value(old, "server", "url", url)
    if config.token_in_file:
        text = with_value(text, "server", "auth_token", "")
    if text != old:
        replace_text(path, text)
