"""A page of a list, sorted and counted in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from reference_server.services.fleet.ports import Window


def page(
    session: Session, query: Select[Any], window: Window,
    columns: Mapping[str, InstrumentedAttribute[Any]], ident: InstrumentedAttribute[int],
    default: tuple[tuple[str, bool], ...] = (("created_at", True),),
) -> tuple[Sequence[Any], int]:  # fmt: skip
    """The rows of the window, and how many there are in all. `columns`: what each name of a sort key stands for;
    `ident`: the id that decides between equals."""
    total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    keys = [columns[name].desc() if down else columns[name].asc() for name, down in window.sort or default]
    # The id decides between equals, in the direction of the first key: the reverse of a list is that list reversed.
    last = ident.desc() if (window.sort or default)[0][1] else ident.asc()
    rows = session.scalars(query.order_by(*keys, last).offset(window.start).limit(window.limit)).all()
    return rows, total
