"""PATCH bodies: what may be changed, and read-only fields that are repeated (rest-decisions.md)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reference_server.services.errors import Invalid


def writable(body: Mapping[str, Any], shown: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The part of `body` that may be changed. `shown`: the object as the user sees it now.

    Raises Invalid, which names unknown fields and read-only ones that differ. A body that repeats the `id` is a whole
    object sent back: links in it may be yesterday's.
    """
    whole = "id" in body and body["id"] == shown["id"]
    errors: dict[str, list[str]] = {}
    for key, value in body.items():
        if key in fields:
            continue
        if key not in shown:
            errors[key] = ["There is no such field."]
        elif value != shown[key] and not (whole and (key == "url" or key.endswith("_url"))):
            errors[key] = ["This field is read-only."]
    if errors:
        raise Invalid("; ".join(f"{key}: {texts[0]}" for key, texts in errors.items()), errors)
    return {key: value for key, value in body.items() if key in fields}
