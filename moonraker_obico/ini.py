"""A configuration file as its lines: values with the line they stand in, and changes that leave comments alone.

The dialect is what ConfigParser reads without interpolation: `[section]`, `key: value` or `key = value`, `#` and `;`
at a line's start begin a comment, further lines of a value are indented. (ConfigParser keeps neither line numbers nor
comments.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent_core.errors import ConfigInvalid

SIZE_LIMIT = 256 * 1024
"""Bytes of a configuration file; real ones have about 2 kB."""

_SECTION = re.compile(r"\[(?P<name>[^\]]*)\]\s*(?:[#;].*)?$")
_ENTRY = re.compile(r"(?P<key>[^:=\s][^:=]*?)\s*[:=]\s*(?P<value>.*)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """`line` counts from 1."""

    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    line: int
    entries: dict[str, Entry] = field(default_factory=dict)


def parse(text: str, shown: str) -> list[Section]:
    """The sections in their order; keys in lower case. Raises ConfigInvalid, naming the file (`shown`) and the line."""
    sections: list[Section] = []
    last_key: str | None = None
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if raw[0] in " \t" and last_key is not None:
            entries = sections[-1].entries
            known = entries[last_key]
            entries[last_key] = Entry(f"{known.value}\n{line}".strip(), known.line)
            continue
        last_key = None
        if line[0] == "[":
            sections.append(_section(line, number, sections, shown))
            continue
        entry = _ENTRY.match(line)
        if entry is None:
            raise ConfigInvalid(f"{shown}, line {number}: {line[:40]!r} is neither a [section] nor a `key: value`")
        if not sections:
            raise ConfigInvalid(f"{shown}, line {number}: {entry['key']!r} stands before the first [section]")
        last_key = entry["key"].lower()
        earlier = sections[-1].entries.get(last_key)
        if earlier is not None:
            raise ConfigInvalid(
                f"{shown}, [{sections[-1].name}]: {last_key} is set twice, in lines {earlier.line} and {number}; "
                "remove one"
            )
        sections[-1].entries[last_key] = Entry(entry["value"].strip(), number)
    return sections


def _section(line: str, number: int, sections: list[Section], shown: str) -> Section:
    header = _SECTION.match(line)
    if header is None:
        raise ConfigInvalid(f"{shown}, line {number}: the section header {line[:40]!r} has no closing bracket")
    name = " ".join(header["name"].split())
    for other in sections:
        if other.name == name:
            raise ConfigInvalid(f"{shown}: [{name}] stands twice, in lines {other.line} and {number}; join them")
    return Section(name, number)


def with_value(text: str, section: str, key: str, value: str) -> str:
    """The text with that one value set; everything else, comments included, stays as it is."""
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    begin, end = _bounds(lines, section)
    if begin is None:
        gap = newline if lines and lines[-1].strip() else ""
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += newline
        return "".join(lines) + f"{gap}[{section}]{newline}{key}: {value}{newline}"
    for index in range(begin + 1, end):
        entry = _ENTRY.match(lines[index].rstrip())
        if entry is not None and lines[index][0] not in "#; \t" and entry["key"].lower() == key:
            separator = "=" if "=" in lines[index].split(entry["value"] or "\0", 1)[0] else ":"
            spaced = f"{entry['key']}{' = ' if separator == '=' else ': '}{value}".rstrip()
            lines[index] = spaced + newline
            del lines[index + 1 : index + 1 + _continuations(lines, index)]
            return "".join(lines)
    if not lines[begin].endswith("\n"):
        lines[begin] += newline
    lines.insert(begin + 1, f"{key}: {value}{newline}")
    return "".join(lines)


def _bounds(lines: list[str], section: str) -> tuple[int | None, int]:
    begin: int | None = None
    for index, name in _headers(lines):
        if begin is not None:
            return begin, index
        if name == section:
            begin = index
    return begin, len(lines)


def _headers(lines: list[str]) -> Iterator[tuple[int, str]]:
    for index, line in enumerate(lines):
        header = _SECTION.match(line.strip())
        if header is not None:
            yield index, " ".join(header["name"].split())


def _continuations(lines: list[str], index: int) -> int:
    count = 0
    for line in lines[index + 1 :]:
        if not line.strip() or line[0] not in " \t" or line.strip()[0] in "#;":
            break
        count += 1
    return count
