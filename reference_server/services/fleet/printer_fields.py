"""What may be written on a printer of the farm. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference_server.services.errors import Invalid
from reference_server.services.model import Json
from reference_server.services.printer_changes import checked_name
from reference_server.services.text import clean

MODEL_LIMIT, LOCATION_LIMIT, TAG_LIMIT = 100, 200, 50
"""Characters."""
MOST_TAGS = 50


def checked(changes: Json) -> dict[str, Any]:
    """The same with texts made fit for storing. Raises Invalid."""
    found = dict(changes)
    if "name" in found:
        found["name"] = checked_name(found["name"])
    for field, limit in (("model", MODEL_LIMIT), ("location", LOCATION_LIMIT)):
        if field in found:
            found[field] = _short(field, found[field], limit)
    if "tags" in found:
        found["tags"] = tags_of(found["tags"])
    return found


def _short(field: str, value: str, limit: int) -> str:
    text = clean(value, limit + 1)
    if len(text) > limit or not text.isprintable():
        raise Invalid.field(field, f"At most {limit} characters on one line are taken.")
    return text


def tags_of(values: Sequence[str]) -> tuple[str, ...]:
    """Each once, in the order given. Raises Invalid."""
    found = [clean(value, TAG_LIMIT + 1) for value in values]
    for tag in found:
        if not 1 <= len(tag) <= TAG_LIMIT or not tag.isprintable() or "," in tag:
            raise Invalid.field("tags", f"A tag has 1 to {TAG_LIMIT} characters on one line, and no comma.")
    unique = tuple(dict.fromkeys(found))
    if len(unique) > MOST_TAGS:
        raise Invalid.field("tags", f"At most {MOST_TAGS} tags are taken.")
    return unique
