"""docs/fleet-coverage.md: every endpoint, parameter, field, action, event and error code of seed 004, with its tests.

    python scripts/fleet_coverage.py           writes the page
    python scripts/fleet_coverage.py --check   writes nothing; fails if the page is not up to date
    python scripts/fleet_coverage.py --list    the names of the rows; those without a test are marked

Fails (exit status 1) if a row has no test, and if a test claims a row that there is not. The seed is
tests/data/seeds/004.txt, tests claim rows with `@covers_fleet(...)` (tests/covers.py).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_coverage import ROOT, SEEDS, claims

PAGE = ROOT / "docs" / "fleet-coverage.md"

CALL = re.compile(r"(GET|POST|PATCH|DELETE) (/v1/[\w/:-]+)(?:\?(\S+))?(?:\s+#.*)?")
BULLET = re.compile(r"• ([\w.*, ]+?) - (.+)|• ([\w., ]+)")
CODE = re.compile(r"([a-z]+(?:_[a-z]+)+)([A-Z].+)")
OBJECTS = {
    "GET /v1/printers": "Printer", "GET /v1/jobs/{id}": "Job", "GET /v1/materials/{id}": "Material",
    "GET /v1/analytics/fleet": "Fleet",
}  # fmt: skip
"""What the seed shows an example of, and the name of its fields' rows."""


@dataclass(frozen=True)
class Row:
    """`name` is what a test claims; `text` the seed's words."""

    part: str
    name: str
    text: str


def _block(lines: list[str], start: int) -> tuple[Any, int]:
    """The JSON value that begins at or after that line, its comments left out; and the line after it."""
    while not lines[start].startswith("{"):
        start += 1
    for end in range(start, len(lines)):
        if lines[end] == "}":
            try:
                return json.loads(re.sub(r"\s//.*", "", "\n".join(lines[start : end + 1]), flags=re.MULTILINE)), end + 1
            except json.JSONDecodeError:
                continue  # the end of an object inside
    raise ValueError(f"a JSON block without an end in line {start}")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each field with its example. A list of objects counts as one object; the object itself is a row, too."""
    for name, inner in value.items():
        yield f"{path}.{name}", inner
        if isinstance(inner, dict):
            yield from _leaves(inner, f"{path}.{name}")


def _cell(text: str) -> str:
    return text.replace("|", "/").strip()


def _words(text: str) -> list[str]:
    """The values that a parameter's text lists: `(idle, printing, offline)` or `low, normal, high, urgent`."""
    found = re.search(r"\(([a-z]+(?:, [a-z]+)+)\)", text) or re.fullmatch(r"([a-z]+(?:, [a-z]+)+)", text)
    return found[1].split(", ") if found else []


def _query(call: str, query: str, comment: str) -> Iterator[Row]:
    """`GET /v1/jobs?page=2&per_page=50`: examples of what every list takes."""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield Row("lists", f"list ?{name}", f"`{call}?{query}`")
        if name == "sort":
            yield Row("lists", f"list ?sort={value}", comment or f"`{call}?{query}`")


def _bullet(part: str, call: str, line: str) -> Iterator[Row]:
    found = BULLET.fullmatch(line)
    if found is None:
        raise ValueError(f"not understood: {line}")
    names, words = (found[1] or found[3]).split(", "), found[2] or ""
    for name in names:
        if part == "Query Parameters:":
            yield Row("parameters", f"{call} ?{name}", _cell(words))
            for value in _words(words):
                yield Row("parameters", f"{call} ?{name}={value}", "")
        elif part == "Actions:":
            yield Row("actions", f"action {name}", _cell(words))
        elif part == "Available Events:":
            yield Row("events", f"event {name}", _cell(words))
        else:
            raise ValueError(f"bullet points below {part!r} are not understood")


def _curl(lines: list[str], start: int) -> Iterator[Row]:
    text = " ".join(lines[start:]).split("curl ", 2)[1]
    path = re.search(r"https://[^/]+(/v1/[\w/]+)", text)
    if path is None:
        raise ValueError(f"a curl without an address: {text[:80]}")
    method = "POST" if "-X POST" in text else "GET"
    call = f"{method} {re.sub(r'[a-z]{3}_[a-z0-9]+', '{id}', path[1])}"
    yield Row("examples", f"curl {call}", "The example as printed, but for host and key.")
    for name, value in re.findall(r'-F "(\w+)=([^"]+)"', text.split("Terminal window")[0]):
        yield Row("bodies", f"{call} form.{name}", f"`{value}`")


def rows() -> list[Row]:
    """Every row, in the seed's order; each once."""
    lines = [line.strip() if line.startswith((" ", "•")) else line.rstrip()
             for line in (SEEDS / "004.txt").read_text(encoding="utf-8").splitlines()]  # fmt: skip
    found: dict[str, Row] = {}
    call = part = ""
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        new: list[Row] = []
        if head := CALL.fullmatch(line):
            target = f"{head[1]} {head[2].replace(':id', '{id}')}"
            if head[3]:
                new += _query(target, head[3], line.partition("#")[2].strip())
            else:
                call, part = target, ""
                new.append(Row("calls", call, ""))
        elif line in {"Query Parameters:", "Actions:", "Available Events:"}:
            part = line
        elif line in {"Response:", "Body:"}:
            value, at = _block(lines, at)
            new += _fields(call, line, value)
        elif line.startswith("•"):
            new += _bullet(part, call, line)
        elif line.startswith("curl "):
            new += _curl(lines, at - 1)
        elif line.startswith("Maximum per_page"):
            new.append(Row("lists", "list ?per_page max 100", line))
        elif code := CODE.fullmatch(line):
            new.append(Row("errors", f"error {code[1]}", code[2]))
        elif made := re.search(r"= client\.(\w+\.\w+)\($|= client\.(\w+\.\w+)\(\w", line):
            new.append(Row("examples", f"python {made[1] or made[2]}", "The example as printed, but for host and key."))
        for row in new:
            found.setdefault(row.name, row)
    return list(found.values())


def _fields(call: str, line: str, value: dict[str, Any]) -> Iterator[Row]:
    if line == "Body:":
        for name, example in _leaves(value, f"{call} body"):
            yield Row("bodies", name, f"`{_cell(json.dumps(example))}`")
        return
    if "pagination" in value:
        for name, example in _leaves(value["pagination"], "Pagination"):
            yield Row("lists", name, f"`{json.dumps(example)}`")
        (value,) = value["data"]
    for name, example in _leaves(value, OBJECTS[call]):
        yield Row("fields", name, f"`{_cell(json.dumps(example))}`")


TITLES = {
    "calls": "Endpoints", "parameters": "Parameters", "bodies": "Fields of bodies", "fields": "Fields of answers",
    "actions": "Actions", "events": "Events", "lists": "Lists", "errors": "Error codes", "examples": "Examples",
}  # fmt: skip


def page(all_rows: list[Row], claimed: dict[str, list[str]]) -> str:
    lines = [
        "# Fleet API coverage",
        "",
        "Every endpoint, parameter, field, action, event and error code of the print-farm API that `/v1` was made from",
        "(seed 004), with the tests that hold it. Written by `python scripts/fleet_coverage.py`, which fails where a",
        "row has no test.",
        "",
        f"{len(all_rows)} rows.",
    ]
    for part, title in TITLES.items():
        lines += ["", f"## {title}", "", "| Row | What the seed says | Tests |", "|---|---|---|"]
        for row in all_rows:
            if row.part == part:
                tests = "<br>".join(f"`{Path(test).name}`" for test in sorted(set(claimed.get(row.name, []))))
                lines.append(f"| `{row.name}` | {row.text} | {tests} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    parser.add_argument("--list", action="store_true", help="only show the rows' names")
    options = parser.parse_args(arguments)
    all_rows, claimed = rows(), claims("covers_fleet")
    names = {row.name for row in all_rows}
    if options.list:
        for row in all_rows:
            print("  " if row.name in claimed else "- ", row.name, sep="")  # noqa: T201 - a command line prints
        return 0
    missing = [f"no test covers: {row.name}" for row in all_rows if row.name not in claimed]
    faults = [f"there is no row: {name} ({', '.join(tests)})" for name, tests in claimed.items() if name not in names]
    text = page(all_rows, claimed)
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        faults.append(f"{PAGE.relative_to(ROOT)} is not up to date: run scripts/fleet_coverage.py")
    faults += missing
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201 - the same
    if not faults:
        print(f"{len(all_rows)} rows, {len(missing)} without a test")  # noqa: T201 - the same
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
