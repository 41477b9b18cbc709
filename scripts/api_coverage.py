"""docs/api-coverage.md: every endpoint, parameter, answer and field of seeds 000-003, with the test that holds it.

    python scripts/api_coverage.py           writes the page
    python scripts/api_coverage.py --check   writes nothing; fails if the page is not up to date

Fails (exit status 1) if a row has no test, and if a test claims a row that there is not. The seeds are in
tests/data/seeds/, tests claim rows with `@covers(...)` (tests/covers.py).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "tests" / "data" / "seeds"
PAGE = ROOT / "docs" / "api-coverage.md"

TITLES = {"000": "Print API (seeds 000 and 001)", "002": "Printer API (seed 002)", "003": "API objects (seed 003)"}
FLAGS = re.compile(r"flags\.(\w+)`*")


@dataclass(frozen=True)
class Row:
    """`name` is what a test claims; `text` the seed's words."""

    seed: str
    name: str
    text: str


def _plain(text: str) -> str:
    """Seed's markdown as one line for a table's cell."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("|", "/").strip().lstrip(":. ").strip()
    return text if len(text) <= 110 else text[:107].rstrip() + "…"


def _name(bullet: str) -> tuple[str, str]:
    """The word at the beginning of a bullet point, and what follows."""
    found = re.match(r"(?:`+([^`]+)`+|\*([^*]+)\*|([\w.]+))[`:.]*\s*(.*)", bullet)
    if found is None:
        raise ValueError(f"a bullet point without a name: {bullet}")
    return (found[1] or found[2] or found[3]).rstrip(":"), found[4]


def endpoints(seed: str, text: str) -> Iterator[Row]:
    """Rows of a seed that tells of calls."""
    call = part = parent = ""
    for line in text.splitlines():
        if heading := re.match(r"## (\w+) `([^`]+)`", line):
            call, part = f"{heading[1]} {heading[2].replace('{:', '{')}", ""
            yield Row(seed, call, "The call.")
        elif heading := re.match(r"#{3,4} ([^{]+)", line):
            part = heading[1].strip()
        elif code := re.match(r"- Code: `(\d+)`", line):
            yield Row(seed, f"{call} → {code[1]}", part)
        elif line.startswith("- Body:"):
            parent = ""
        elif bullet := re.match(r"( *)- (.+)", line):
            name, words = _name(bullet[2])
            if part == "Query parameters" and not bullet[1]:
                parent = name
                yield Row(seed, f"{call} ?{name}", _plain(words))
            elif part == "Query parameters":
                yield Row(seed, f"{call} ?{parent}={name}", _plain(words))
            elif part == "Body":
                yield Row(seed, f"{call} read-only {name}", _plain(words))
            else:
                yield Row(seed, f"{call} answer {name}", _plain(words))


def objects(seed: str, text: str) -> Iterator[Row]:
    """Rows of the seed that tells of objects."""
    thing = parent = ""
    for line in text.splitlines():
        if heading := re.match(r"## `(\w+)`", line):
            thing = heading[1]
            yield Row(seed, thing, "The object.")
        elif thing and (bullet := re.match(r"( *)- (.+)", line)):
            name, words = _name(bullet[2])
            if not bullet[1]:
                parent = name
                yield Row(seed, f"{thing}.{name}", _plain(words))
            elif parent == "pic":  # a field, not a word to choose
                yield Row(seed, f"{thing}.{parent}.{name}", _plain(words))
            else:
                yield Row(seed, f"{thing}.{parent}={name}", _plain(words))


def rows() -> list[Row]:
    """Every row. Seed 001 is seed 000 in another layout: each name of the one must be in the other."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SEEDS.glob("*.txt"))}
    found = [*endpoints("000", texts["000"]), *endpoints("002", texts["002"]), *objects("003", texts["003"])]
    for row in found:
        if row.seed == "000":
            words = re.findall(r"[\w/{:}]{2,}", row.name.replace("{id}", "{:id}").replace("read-only", ""))
            missing = [word for word in words if word not in texts["001"]]
            if missing:
                raise ValueError(f"{row.name}: seed 001 does not know {missing}")
    names = [row.name for row in found]
    if len(names) != len(set(names)):
        raise ValueError("two rows have one name")
    return found


def _expand(text: str) -> list[str]:
    """`a{b,c}` → ab, ac; `{id}` stays."""
    found = re.search(r"{([^{}]*,[^{}]*)}", text)
    if found is None:
        return [text]
    before, after = text[: found.start()], text[found.end() :]
    return [name for word in found[1].split(",") for name in _expand(before + word + after)]


def claims(mark: str = "covers") -> dict[str, list[str]]:
    """Row → the tests that claim it with that decorator."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if f"{mark}(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == mark:
                    for argument in decorator.args:
                        for name in _expand(str(ast.literal_eval(argument))):
                            found.setdefault(name, []).append(f"{path.relative_to(ROOT).as_posix()}::{node.name}")
    return found


def page(all_rows: list[Row], claimed: dict[str, list[str]]) -> str:
    lines = [
        "# API coverage",
        "",
        "Every endpoint, parameter, answer and field of the API documents that the project was created from, with the",
        "tests that hold it. Written by `python scripts/api_coverage.py`, which fails where a row has no test. What we",
        "answer where these documents and the public server differ: [server-api.md](server-api.md).",
        "",
        f"{len(all_rows)} rows.",
    ]
    for seed, title in TITLES.items():
        lines += ["", f"## {title}", "", "| Row | What it says | Tests |", "|---|---|---|"]
        for row in all_rows:
            if row.seed == seed:
                tests = "<br>".join(f"`{Path(test).name}`" for test in sorted(set(claimed.get(row.name, []))))
                lines.append(f"| `{row.name}` | {row.text} | {tests} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    options = parser.parse_args(arguments)
    all_rows, claimed = rows(), claims()
    names = {row.name for row in all_rows}
    faults = [f"no test covers: {row.name}" for row in all_rows if row.name not in claimed]
    faults += [f"there is no row: {name} ({', '.join(tests)})" for name, tests in claimed.items() if name not in names]
    text = page(all_rows, claimed)
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        faults.append(f"{PAGE.relative_to(ROOT)} is not up to date: run scripts/api_coverage.py")
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201 - a command line prints
    if not faults:
        print(f"{len(all_rows)} rows, each with a test")  # noqa: T201 - the same
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
