"""Lists of `/v1`: page, per_page, sort, fields, and the answer around them (fleet-api.md §1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.responses import Response

from reference_server.api.responses import Json
from reference_server.services.errors import Invalid
from reference_server.services.fleet.ports import Window

DEFAULT_PER_PAGE, MOST_PER_PAGE = 20, 100
MOST_SORT_KEYS = 5


@dataclass(frozen=True, slots=True)
class Paging:
    """What every list takes."""

    page: int
    per_page: int
    sort: str | None
    fields: str | None

    def window(self, sortable: Collection[str]) -> Window:
        """Raises Invalid."""
        keys: list[tuple[str, bool]] = []
        for word in (word.strip() for word in (self.sort or "").split(",")):
            if not word:
                continue
            name = word.removeprefix("-")
            if name not in sortable:
                raise Invalid.field("sort", f"{name[:50]!r} is none of: {', '.join(sortable)}.")
            keys.append((name, word.startswith("-")))
        if len(keys) > MOST_SORT_KEYS:
            raise Invalid.field("sort", f"At most {MOST_SORT_KEYS} keys are taken.")
        return Window((self.page - 1) * self.per_page, self.per_page, tuple(keys))

    def picked(self, known: Collection[str]) -> tuple[str, ...] | None:
        """The fields that are wanted; None: all. Raises Invalid."""
        if self.fields is None:
            return None
        names = [name.strip() for name in self.fields.split(",") if name.strip()]
        wrong = [name for name in names if name not in known]
        if wrong or not names:
            shown = ", ".join(repr(name[:50]) for name in wrong) or "nothing"
            raise Invalid.field("fields", f"{shown} is none of: {', '.join(known)}.")
        return tuple(dict.fromkeys(names))

    def answer(self, items: Sequence[Mapping[str, Any]], total: int, known: Collection[str]) -> Response:
        """The page; `items` are those of the page only."""
        wanted = self.picked(known)
        data = [item if wanted is None else {name: item[name] for name in wanted} for item in items]
        pages = -(-total // self.per_page)
        return Json({
            "data": data,
            "pagination": {"page": self.page, "per_page": self.per_page, "total": total, "total_pages": pages},
        })  # fmt: skip


def _paging(
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Counted from 1.")] = 1,
    per_page: Annotated[int, Query(ge=1, le=MOST_PER_PAGE)] = DEFAULT_PER_PAGE,
    sort: Annotated[
        str | None, Query(max_length=200, description="A field, `-` before it for descending; several by comma.")
    ] = None,
    fields: Annotated[str | None, Query(max_length=1000, description="Only these fields, by comma.")] = None,
) -> Paging:
    return Paging(page, per_page, sort, fields)


List = Annotated[Paging, Depends(_paging)]
