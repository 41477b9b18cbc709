"""Carries G-code scripts out, line by line, as generators that yield the time until which they have to wait."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

from demo.klippy import macros
from demo.klippy.command import Command, parse
from demo.klippy.errors import GcodeError
from demo.klippy.printer import Printer

MAX_HISTORY = 4000  # executed lines kept for the control channel
MAX_DEPTH = 10  # macros within macros
Steps = Generator[float, None, None]
"""Yields monotonic times; the host goes on when that time has come."""

Handler = Callable[["Interpreter", Command], "Steps | None"]


@dataclass(frozen=True, slots=True)
class Executed:
    """A line that was carried out (or refused: `error`). `source` is "file", "script" or "macro"."""

    at: float
    source: str
    line: str
    error: str | None = None


@dataclass(slots=True)
class Obstacle:
    """What the control channel put in the way of the next matching line."""

    pattern: re.Pattern[str]
    message: str
    left: int


class Obstacles:
    """Lines to refuse, to block on, or to stop the file before. They outlive a restart."""

    def __init__(self) -> None:
        self.refusals: list[Obstacle] = []
        self.block: re.Pattern[str] | None = None
        self.blocked = False
        self.hold: re.Pattern[str] | None = None
        self.held = False

    def check(self, line: str) -> None:
        for refusal in self.refusals:
            if refusal.pattern.search(line):
                refusal.left -= 1
                if refusal.left <= 0:
                    self.refusals.remove(refusal)
                raise GcodeError(refusal.message)

    def release(self) -> None:
        self.block = self.hold = None
        self.blocked = self.held = False


class Interpreter:
    """Runs scripts on one `Printer`. One script at a time: the host owns the lock."""

    def __init__(self, printer: Printer, obstacles: Obstacles, restart: Callable[[bool], None]) -> None:
        from demo.klippy.commands import COMMANDS

        self.printer = printer
        self.restart = restart
        self.emergency: Callable[[str], None] = lambda _reason: None
        self.history: deque[Executed] = deque(maxlen=MAX_HISTORY)
        self.executed = 0
        self.not_ready: str | None = None
        self._obstacles = obstacles
        self._commands: dict[str, Handler] = COMMANDS

    def now(self) -> float:
        return self.printer.clock()

    def run_script(self, script: str, source: str = "script", depth: int = 0) -> Steps:
        """Run all lines; the first refused one ends the script and leaves its modes behind."""
        if depth > MAX_DEPTH:
            raise GcodeError("Macro called recursively")
        for line in script.split("\n"):
            yield from self.run_line(line, source, depth)

    def run_line(self, line: str, source: str, depth: int = 0) -> Steps:
        command = parse(line)
        if command is None:
            return
        if source != "macro":
            yield from self._blocked(command)
        try:
            self._obstacles.check(command.line)
            if self.not_ready is not None and command.name not in ("RESTART", "FIRMWARE_RESTART"):
                raise GcodeError(self.not_ready)
            yield from self._dispatch(command, depth)
        except GcodeError as error:
            self._log(source, command.line, str(error))
            if depth == 0:
                self.printer.echo_error(str(error))
            # Klipper's coordinates follow the tool head again after any refused line.
            self.printer.moves.resync(self.printer.toolhead.position)
            raise
        self._log(source, command.line, None)

    def _blocked(self, command: Command) -> Steps:
        obstacles = self._obstacles
        while obstacles.block is not None and obstacles.block.search(command.line):
            obstacles.blocked = True
            yield self.now() + 0.02
        obstacles.blocked = False

    def _dispatch(self, command: Command, depth: int) -> Steps:
        macro = macros.expand(self.printer, command)
        if macro is not None:
            yield from self.run_script(macro, "macro", depth + 1)
            return
        handler = self._commands.get(command.name)
        if handler is None:
            self._unknown(command)
            return
        steps = handler(self, command)
        if steps is not None:
            yield from steps

    def _unknown(self, command: Command) -> None:
        if command.name in ("M104", "M140", "M107", "M106"):
            return
        self.printer.info(f'Unknown command:"{command.name}"')

    def _log(self, source: str, line: str, error: str | None) -> None:
        self.executed += 1
        self.history.append(Executed(time.time(), source, line, error))
