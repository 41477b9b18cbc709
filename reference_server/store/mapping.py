"""Rows <-> frozen entities: every field of the entity is a column of the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import itemgetter
from typing import Any, TypeVar

from reference_server.store.tables import Base

Entity = TypeVar("Entity")

_names_of: dict[type[Any], tuple[str, ...]] = {}  # one entry a kind of entity, like the next
_getters: dict[type[Any], Callable[[Mapping[str, Any]], tuple[Any, ...]]] = {}


def _names(kind: type[Any]) -> tuple[str, ...]:
    if kind not in _names_of:
        _names_of[kind] = tuple(field.name for field in fields(kind))
        _getters[kind] = itemgetter(*_names_of[kind])
    return _names_of[kind]


def to_entity(row: Base, kind: type[Entity]) -> Entity:
    """Lists have hundreds of rows with dozens of columns: what is loaded is taken without asking for each by name."""
    names = _names(kind)
    try:
        return kind(*_getters[kind](row.__dict__))
    except KeyError:  # a column that the database has filled in, and nobody has read yet
        return kind(*(getattr(row, name) for name in names))


def columns_of(table: type[Base], kind: type[Any]) -> list[Any]:
    """What to select so that `kind(*row)` is the entity: cheaper than rows that may be changed and saved."""
    return [getattr(table, name) for name in _names(kind)]


def copy_to(row: Base, entity: Any) -> None:
    """Write the entity's fields into the row; an id of 0 is left for the database to give."""
    for name in _names(type(entity)):
        value = getattr(entity, name)
        if name == "id" and not value:
            continue
        if getattr(row, name, None) != value:
            setattr(row, name, value)
