"""Tables, bars and units for a terminal. Pure: text in, text out. Nothing that a name contains reaches the terminal as
a command."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime

BAR = 24  # characters


def plain(value: object) -> str:
    """One line of printable text, "" for None."""
    if value is None:
        return ""
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))


def width(text: str) -> int:
    """Columns that it takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def cut(text: str, columns: int) -> str:
    """At most so wide, with … at the end of what was longer."""
    if width(text) <= columns:
        return text
    found, used = "", 0
    for sign in text:
        used += width(sign)
        if used > columns - 1:
            break
        found += sign
    return found + "…" if columns > 0 else ""


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], columns: int | None = None) -> list[str]:
    """Lines; with `columns` none is wider: the widest column gives way."""
    cells = [list(headings), *([plain(value) for value in row] for row in rows)]
    widths = [max(width(row[place]) for row in cells) for place in range(len(headings))]
    while columns is not None and sum(widths) + 2 * (len(widths) - 1) > columns and max(widths) > 6:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in cells:
        fitted = [cut(text, size) for text, size in zip(row, widths, strict=True)]
        line = "  ".join(text + " " * (size - width(text)) for text, size in zip(fitted, widths, strict=True)).rstrip()
        lines.append(line if columns is None else cut(line, columns))
    return lines


def size(count: float) -> str:
    """Bytes: `12.3 MB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count:.0f} B"


def span(seconds: float | None) -> str:
    """`2 h 05 min`, `4 min 30 s`, `12 s`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:g} %"


def grams(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} g" if value >= 10 else f"{value:.1f} g"


def degrees(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} °C"


def when(value: datetime | None) -> str:
    """In this machine's time."""
    return "" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M")


def bar(share: float, columns: int = BAR) -> str:
    """`[######------]`; share: 0 to 1."""
    done = min(columns, max(0, int(share * columns)))
    return f"[{'#' * done}{'-' * (columns - done)}]"


def transfer(name: str, sent: int, total: int, seconds: float, columns: int) -> str:
    """A line that tells of an upload: how much, how fast, how long still."""
    share = sent / total if total else 1.0
    rate = sent / seconds if seconds > 0.5 else 0.0
    left = f"  {span((total - sent) / rate)} left" if rate and sent < total else ""
    speed = f"  {size(rate)}/s" if rate else ""
    told = f" {bar(share)} {share * 100:3.0f} %  {size(sent)} of {size(total)}{speed}{left}"
    return cut(plain(name), max(8, columns - width(told))) + told
