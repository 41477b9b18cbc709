"""What the commands share."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from reference_server.config import ServerConfig


class Problem(Exception):
    """What stops the program: one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the program; `options`: the parsed command line."""

    config: ServerConfig
    options: Mapping[str, Any]
    stdout: TextIO
    stderr: TextIO

    def say(self, line: str) -> None:
        self.stdout.write(line + "\n")
        self.stdout.flush()

    def progress(self, line: str) -> None:
        """Not part of the result."""
        self.stderr.write(line + "\n")
        self.stderr.flush()


Run = Callable[[Call], int]


def add_command(
    commands: Any, name: str, help_line: str, text: str, run: Run, parents: list[argparse.ArgumentParser]
) -> argparse.ArgumentParser:
    """`text`: shown below the options, with examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_line, description=help_line[0].upper() + help_line[1:] + ".", epilog=text, parents=parents,
        formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    parser.set_defaults(run=run)
    return parser


def prepare(folder: Path) -> None:
    """Make the data folder where there is none. Raises Problem."""
    advice = "choose another folder with --data-dir"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Problem(f"the data folder {folder} cannot be made: {error.strerror}; {advice}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Problem(f"the data folder {folder} cannot be written to: change its owner, or {advice}")


def needs_database(config: ServerConfig) -> None:
    """Raises Problem where there is none yet."""
    if not config.database.is_file():
        raise Problem(f"there is no database in {config.data_dir}: is this the right --data-dir?")


def read_password(from_stdin: bool) -> str:
    """From standard input, or asked for twice. Raises Problem."""
    if from_stdin or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise Problem("the two passwords differ: nothing was done")
    return password
