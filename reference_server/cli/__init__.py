"""The command line: `obico-reference-server [COMMAND]`. Every problem is one line, and exit code 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from reference_server import VERSION
from reference_server.cli import doctor, imports, keep, users
from reference_server.cli import run as running
from reference_server.cli.common import Call, Problem, add_command
from reference_server.cli.run import MOST_FRAME as MOST_FRAME
from reference_server.config import SETTINGS, ConfigError, load_config
from reference_server.lock import Locked
from reference_server.services.errors import ServiceError
from reference_server.services.fleet.model import ALL_SCOPE_WORDS, Role
from reference_server.store.migrate import MigrationError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_OF_EVERY_COMMAND = frozenset({"data-dir"})


def _options(only: frozenset[str] | None = None) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for setting in SETTINGS:
        if setting.secret or (only is not None and setting.option not in only):
            continue
        default = f"; default: {setting.default}" if setting.default else ""
        options.add_argument(
            f"--{setting.option}", metavar=setting.metavar, help=f"{setting.help} [{setting.env}{default}]"
        )
    return options


def make_parser() -> argparse.ArgumentParser:
    every, few = _options(), _options(_OF_EVERY_COMMAND)
    parser = argparse.ArgumentParser(
        prog="obico-reference-server", parents=[every], argument_default=argparse.SUPPRESS,
        description="Self-hosted server for 3D printers with Obico agents. Without a command it runs the server.",
        epilog="Each option can be set by the environment variable in brackets instead."
        + "".join(f" {setting.env}: {setting.help}." for setting in SETTINGS if setting.secret),
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"obico-reference-server {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="[COMMAND]")
    add_command(commands, "run", "run the server (the default)", running.EXAMPLES, running.run, [every])
    _add_users(commands, [few])
    _add_keep(commands, [few])
    foreign = add_command(
        commands, "import-obico", "take users, printers and prints from a public Obico server's database",
        imports.EXAMPLES, imports.import_obico, [few],
    )  # fmt: skip
    foreign.add_argument("file", help="that server's db.sqlite3")
    foreign.add_argument("--dry-run", action="store_true", default=False, help="only say what would be taken")
    add_command(commands, "doctor", "look whether everything is in order", doctor.EXAMPLES, doctor.doctor, [every])
    return parser


def _add_users(commands: Commands, parents: list[argparse.ArgumentParser]) -> None:
    create = add_command(
        commands, "create-user", "add a user; the password is asked for, or read from standard input",
        users.CREATE_EXAMPLES, users.create_user, parents,
    )  # fmt: skip
    create.add_argument("name", help="the name to log in with")
    create.add_argument("--email", default="", help="e-mail address (optional)")
    create.add_argument(
        "--organization-of", metavar="USER", default=None, help="not an organization of his own: that user's"
    )
    create.add_argument(
        "--role", choices=[role.value for role in Role], default=None, help="in that organization (default: viewer)"
    )
    key = add_command(
        commands, "create-key", "make a key for the fleet API (/v1) and print it", users.KEY_EXAMPLES,
        users.create_key, parents,
    )  # fmt: skip
    key.add_argument("name", help="the program that will use it")
    key.add_argument("--user", required=True, help="whose it is, by name or e-mail address")
    scopes = ", ".join(ALL_SCOPE_WORDS)
    key.add_argument("--scopes", required=True, help=f"what it may do, with spaces between: {scopes}")
    key.add_argument("--days", default=None, metavar="DAYS", help="how long it is good (default: until revoked)")
    change = add_command(
        commands, "set-password", "give a user a new password, from this machine's keyboard",
        users.SET_EXAMPLES, users.set_password, parents,
    )  # fmt: skip
    change.add_argument("name", help="name or e-mail address")
    change.add_argument(
        "--no-second-factor", action="store_true", default=False, help="switch the user's second factor off as well"
    )
    for parser in (create, change):
        parser.add_argument(
            "--password-stdin", action="store_true", default=False, help="read the password from standard input"
        )


def _add_keep(commands: Commands, parents: list[argparse.ArgumentParser]) -> None:
    save = add_command(
        commands, "backup", "write database and media into one file, while the server runs",
        keep.BACKUP_EXAMPLES, keep.backup, parents,
    )  # fmt: skip
    save.add_argument(
        "file", nargs="?", default=None, help="where to (-: standard output); a file that is there is not overwritten"
    )
    back = add_command(
        commands, "restore", "bring a backup back into an empty data folder",
        keep.RESTORE_EXAMPLES, keep.restore, parents,
    )  # fmt: skip
    back.add_argument("file", help="a file that `backup` has written")
    back.add_argument("--check", action="store_true", default=False, help="only look whether the backup is whole")
    add_command(
        commands, "migrate", "bring the database to this program's version",
        keep.MIGRATE_EXAMPLES, keep.migrate, parents,
    )  # fmt: skip
    add_command(
        commands, "rebuild-figures", "write the farm's figures anew from the prints",
        keep.REBUILD_EXAMPLES, keep.rebuild_figures, parents,
    )  # fmt: skip


def main(
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
) -> int:
    """The exit code: 0 fine, 1 `doctor` found something, 2 something that a person must put right."""
    stdout, stderr = stdout or sys.stdout, stderr or sys.stderr
    parsed = vars(make_parser().parse_args(arguments))
    try:
        config = load_config({setting.key: parsed.get(setting.key) for setting in SETTINGS}, environment)
        os.umask(0o077)  # the data folder is nobody else's business
        command = parsed.get("run", running.run)
        return int(command(Call(config, parsed, stdout, stderr)))
    except (Problem, ConfigError, Locked, MigrationError, ServiceError) as problem:
        stderr.write(f"obico-reference-server: {problem}\n")
        return 2
    except OSError as error:
        stderr.write(f"obico-reference-server: {error.filename or config.data_dir}: {error.strerror or error}\n")
        return 2
