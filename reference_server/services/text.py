"""Foreign text made fit for storing and showing."""

from __future__ import annotations


def clean(value: str, limit: int) -> str:
    """At most `limit` characters without NUL and lone surrogates, which neither database nor JSON reader takes."""
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8").strip()[:limit]
