"""One line of G-code, taken apart."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass

from demo.klippy.errors import GcodeError

_NUMBERED = re.compile(r"^N\d+\s*", re.IGNORECASE)
_TRADITIONAL = re.compile(r"^([GMT])\s*(\d+(?:\.\d+)?)(.*)$", re.IGNORECASE)
_WORDS = re.compile(r"([A-Z_]+)\s*([^A-Z_]*)")
_RAW = ("M117", "M118", "M23")  # everything behind the command is text


@dataclass(frozen=True, slots=True)
class Command:
    """`name` in capitals, `params` as text by capital key, `rest` the unparsed remainder, `line` the whole line."""

    name: str
    params: dict[str, str]
    rest: str
    line: str

    def number(self, key: str, default: float | None = None) -> float:
        """A parameter as a number. Raises GcodeError if it is missing without default, or is no number."""
        text = self.params.get(key)
        if text is None:
            if default is None:
                raise GcodeError(f"Error on '{self.line}': missing {key}")
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise GcodeError(f"Error on '{self.line}': unable to parse {text}")
        return value

    def numbers(self, letters: str) -> dict[str, float]:
        """The given one-letter parameters that are there. Raises GcodeError if one is no number."""
        try:
            return {letter: float(self.params[letter]) for letter in letters if letter in self.params}
        except ValueError:
            raise GcodeError(f"Unable to parse move '{self.line}'") from None


def parse(line: str) -> Command | None:
    """Take a line apart; None for an empty line or a comment. Raises GcodeError for a malformed extended command."""
    line = _NUMBERED.sub("", line.strip())
    code = line.partition(";")[0].strip()
    if not code:
        return None
    match = _TRADITIONAL.match(code)
    if match is None:
        return _parse_extended(code)
    name = (match[1] + match[2]).upper()
    rest = match[3].partition("*")[0].strip()
    if name in _RAW:
        return Command(name, {}, line[len(match[1] + match[2]) :].strip() if name != "M23" else rest, line)
    params = {key: value.strip() for key, value in _WORDS.findall(rest.upper())}
    return Command(name, params, rest, code)


def _parse_extended(code: str) -> Command:
    name, _, rest = code.partition(" ")
    try:
        words = shlex.split(rest)
    except ValueError:
        raise GcodeError(f"Malformed command '{code}'") from None
    params: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            params[key.upper()] = value
    return Command(name.upper(), params, rest.strip(), code)
