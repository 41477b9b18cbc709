"""Rows <-> frozen entities: every field of the entity is a column of the row."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from reference_server.store.tables import Base

Entity = TypeVar("Entity")

_names_of: dict[type[Any], tuple[str, ...]] = {}  # one entry a kind of entity


def _names(kind: type[Any]) -> tuple[str, ...]:
    if kind not in _names_of:
        _names_of[kind] = tuple(field.name for field in fields(kind))
    return _names_of[kind]


def to_entity(row: Base, kind: type[Entity]) -> Entity:
    return kind(**{name: getattr(row, name) for name in _names(kind)})


def copy_to(row: Base, entity: Any) -> None:
    """Write the entity's fields into the row; an id of 0 is left for the database to give."""
    for name in _names(type(entity)):
        value = getattr(entity, name)
        if name == "id" and not value:
            continue
        if getattr(row, name, None) != value:
            setattr(row, name, value)
