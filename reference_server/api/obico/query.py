"""Query parameters as values; a wrong one is a 400 that names it and the choices."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from starlette.datastructures import QueryParams

from reference_server.services.errors import Invalid

Word = TypeVar("Word", bound=Enum)


def choice(params: QueryParams, name: str, vocabulary: type[Word]) -> Word | None:
    """None if the parameter is absent or empty."""
    text = params.get(name)
    if not text:
        return None
    return _word(name, text, vocabulary)


def choices(params: QueryParams, name: str, vocabulary: type[Word]) -> tuple[Word, ...] | None:
    """Every value of a repeated parameter; None if it is absent."""
    found = [text for text in params.getlist(name) if text]
    return tuple(_word(name, text, vocabulary) for text in found[:100]) or None


def _word(name: str, text: str, vocabulary: type[Word]) -> Word:
    try:
        return vocabulary(text)
    except ValueError:
        words = ", ".join(str(word.value) for word in vocabulary)
        raise Invalid.field(name, f"One of {words} is needed.") from None


def whole(params: QueryParams, name: str, default: int, most: int) -> int:
    text = params.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Invalid.field(name, "A whole number is needed.")
    return min(int(text), most)


def ids(params: QueryParams, name: str) -> tuple[int, ...] | None:
    found = [text for text in params.getlist(name) if text]
    if not all(text.isascii() and text.isdigit() and len(text) <= 15 for text in found):
        raise Invalid.field(name, "Ids are whole numbers.")
    return tuple(int(text) for text in found[:500]) or None
