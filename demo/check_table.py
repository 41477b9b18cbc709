"""What a self-check wanted and what it saw, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    wanted: str
    seen: str
    ok: bool


@dataclass
class Table:
    """What was wanted and what was seen. A row is printed when it is known."""

    rows: list[Row] = field(default_factory=list)

    def add(self, what: str, wanted: str, seen: str, ok: bool) -> bool:
        self.rows.append(Row(what, wanted, " ".join(seen.split()), ok))
        print(f"  {'ok  ' if ok else 'MISS'}  {what}", flush=True)
        return ok

    @property
    def misses(self) -> int:
        return sum(not row.ok for row in self.rows)

    def __str__(self) -> str:
        head = Row("what", "wanted", "seen", True)
        widths = [max(len(getattr(row, name)) for row in [head, *self.rows]) for name in ("what", "wanted", "seen")]
        lines = []
        for row in [head, *self.rows]:
            mark = "ok" if row is head else "yes" if row.ok else "NO"
            cells = zip((row.what, row.wanted, row.seen), widths, strict=True)
            lines.append("  ".join(text.ljust(width) for text, width in cells) + f"  {mark}")
        lines.insert(1, "-" * max(len(line) for line in lines))
        return "\n".join(lines)
