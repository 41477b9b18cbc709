"""A web hook's own body: JSON with `{{name}}` in it. Pure, bounded; the result is always JSON.

    {"text": "{{data.title}}: {{data.printer.name}}", "print": {{data.print}}}

A name stands for a value of the standard body (`id`, `event`, `created_at`, `data.…`). Within a JSON string it is put
in as text, escaped; outside of one as a JSON value. There are no conditions, loops or calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

LONGEST = 10_000
"""Characters of a template."""

MOST_NAMES = 200
LONGEST_RESULT = 256 * 1024
"""Bytes of a body."""

_NAME = re.compile(r"\{\{\s*([a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*){0,5})\s*\}\}")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class BadTemplate(ValueError):
    """What is wrong with it, for its author."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """The body. Raises BadTemplate when it is too large, names what is not there, or gives no JSON."""
    if len(template) > LONGEST:
        raise BadTemplate(f"It has more than {LONGEST} characters.")
    if template.count("{{") > MOST_NAMES:
        raise BadTemplate(f"It has more than {MOST_NAMES} names in braces.")
    if "{{" in _NAME.sub("", template):
        raise BadTemplate("There is a {{ that does not begin a name such as {{event}} or {{data.printer.name}}.")
    parts: list[str] = []
    at = 0
    for string in _STRING.finditer(template):
        parts.append(_NAME.sub(lambda name: _dump(_find(values, name[1])), template[at : string.start()]))
        parts.append(_NAME.sub(lambda name: _dump(_as_text(_find(values, name[1])))[1:-1], string[0]))
        at = string.end()
    parts.append(_NAME.sub(lambda name: _dump(_find(values, name[1])), template[at:]))
    body = "".join(parts)
    if len(body) > LONGEST_RESULT:
        raise BadTemplate("The body that it gives is too long.")
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadTemplate(f"What it gives is no JSON: {error}.") from None
    return body


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _dump(value)


def _find(values: Mapping[str, Any], name: str) -> Any:
    """A part of `data.details` or of a print may be absent, which is null; other names must exist."""
    found: Any = values
    for depth, part in enumerate(name.split(".")):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif depth >= 2:
            return None
        else:
            raise BadTemplate(f"There is no {name}.")
    return found
