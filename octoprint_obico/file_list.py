"""What `_file_manager.list_files` is asked for and what it gives (wire-protocol.md §8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agent_core.errors import Rejected
from agent_core.wire.messages import PassthruCall

LONGEST_PATH = 1000
"""Characters."""
LONGEST_FILTER = 100
MOST_FILES = 5_000
"""Entries in one answer; a frame would not hold more."""

_SHOWN = ("name", "path", "display", "type", "typePath", "size", "date", "hash", "user", "origin", "analysis")


class FileQuery:
    """`{path, recursive, level}` or `{filter, recursive}` (§8), understood."""

    __slots__ = ("level", "path", "recursive", "words")

    def __init__(self, path: str, words: tuple[str, ...], *, recursive: bool, level: int) -> None:
        self.path, self.words, self.recursive, self.level = path, words, recursive, level

    @classmethod
    def of(cls, call: PassthruCall) -> FileQuery:
        """Raises Rejected."""
        said = dict(call.kwargs)
        for name, value in zip(("locations", "path", "filter", "recursive", "level"), call.args, strict=False):
            said.setdefault(name, value)
        if said.get("locations", "local") not in ("local", ["local"], None):
            raise Rejected("only the files that OctoPrint keeps can be listed")
        path, pattern = said.get("path") or "", said.get("filter") or ""
        if not isinstance(path, str) or len(path) > LONGEST_PATH:
            raise Rejected("the path of a folder is wanted")
        if ".." in path.split("/"):
            raise Rejected("a folder within OctoPrint's own is wanted")
        if not isinstance(pattern, str) or len(pattern) > LONGEST_FILTER:
            raise Rejected(f"a filter is a text of at most {LONGEST_FILTER} characters")
        level = said.get("level", 0)
        return cls(
            path.strip("/"),
            _words_of(pattern),
            recursive=said.get("recursive") not in (None, False, "false"),
            level=1 if isinstance(level, int) and level > 0 else 0,
        )

    def matches(self, name: str) -> bool:
        """Whether all words are in it, in their order, whatever their case."""
        at, lower = 0, name.lower()
        for word in self.words:
            found = lower.find(word, at)
            if found < 0:
                return False
            at = found + len(word)
        return True


def _words_of(pattern: str) -> tuple[str, ...]:
    """What a search is for. Clients write `.*` around and between words, and `\\` before a sign that is meant; anything
    else of a regular expression is taken as the sign it is.
    """
    pattern = pattern.lower().removeprefix("^").removesuffix("$")
    parts = pattern.split(".*")
    return tuple(word for part in parts if (word := re.sub(r"\\(.)", r"\1", part)))


def listed(entries: Any, matches: Callable[[str], bool]) -> dict[str, Any]:
    """OctoPrint's entries as clients want them; raises Rejected if they are too many."""
    left = [MOST_FILES]
    return _listed(entries, matches, left)


def _listed(entries: Any, matches: Callable[[str], bool], left: list[int]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, entry in (entries if isinstance(entries, Mapping) else {}).items():
        if not isinstance(entry, Mapping):
            continue
        found = {key: entry[key] for key in _SHOWN if entry.get(key) is not None}
        if entry.get("type") == "folder":
            found["children"] = _listed(entry.get("children"), matches, left)
            if not found["children"] and not matches(str(name)):
                continue
        elif not matches(str(entry.get("display") or name)) and not matches(str(name)):
            continue
        left[0] -= 1
        if left[0] < 0:
            raise Rejected(f"more than {MOST_FILES} files: look into one folder, or for a name")
        shown[str(name)] = found
    return shown
