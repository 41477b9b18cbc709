"""Reading request bodies: JSON objects and forms, as values or a clear 400."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from reference_server.services.errors import Invalid

MOST_FIELDS, MOST_FILES = 50, 2


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")


async def json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object. Raises Invalid."""
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        found = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Invalid("The body must be a JSON object.")
    return found


async def json_list(request: Request) -> list[Any]:
    """The body as a JSON list. Raises Invalid."""
    try:
        found = json.loads(await request.body(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.") from None
    if not isinstance(found, list):
        raise Invalid("The body must be a JSON list.")
    return found


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields, and files read whole."""

    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.fields.get(name, "")

    def flag(self, name: str, default: bool) -> bool:
        """`true` in any case, as agents write it (§4)."""
        text = self.fields.get(name)
        return default if text is None else text.strip().lower() in {"true", "t", "1", "yes"}


async def read_form(request: Request) -> Form:
    """A urlencoded or multipart form, or a JSON object of plain values. Raises Invalid, HTTPException 415."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        body = await json_object(request)
        return Form({key: _word(value) for key, value in body.items() if isinstance(value, str | int | float | bool)})
    if kind not in {"multipart/form-data", "application/x-www-form-urlencoded", ""}:
        raise HTTPException(415, "A form is needed.")
    if not kind:
        return Form()
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                fields[name] = value
    return Form(fields, files)


def _word(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def text(body: Mapping[str, Any], name: str, default: str = "") -> str:
    """A text of a JSON body. Raises Invalid if it is something else."""
    value = body.get(name, default)
    if value is None:
        return default
    if not isinstance(value, str):
        raise Invalid.field(name, "Text is needed.")
    return value
