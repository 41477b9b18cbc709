"""Holds real answers against the OpenAPI document. Person and Owner do it with every answer that they get, so each test
of the API is a test of its description too.

A new field or status that nobody described fails here: describe it in reference_server/api/schemas/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import jsonschema_rs

WHERE = "see reference_server/api/schemas/"
EVERYWHERE = {405, 413, 500}
"""Answers that any path may give, and that the document does not repeat at each."""


def strict(schema: Any) -> Any:
    """The schema with no other fields than those that it names."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema.replace("#/components/schemas/", "#/$defs/") if isinstance(schema, str) else schema
    found = {key: value if key in {"example", "examples"} else strict(value) for key, value in schema.items()}
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


class Described:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._definitions = strict(document["components"]["schemas"])
        self._validators: dict[str, Any] = {}
        templates = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in templates]

    def validator(self, schema: Mapping[str, Any]) -> Any:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**strict(schema), "$defs": self._definitions}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[key]

    def faults(self, schema: Mapping[str, Any], value: Any) -> Iterator[str]:
        for error in self.validator(schema).iter_errors(value):
            yield f"{'/'.join(str(part) for part in error.instance_path) or 'the answer'}: {error.message}"[:400]

    def operation(self, method: str, path: str) -> tuple[str, Mapping[str, Any]] | None:
        slashed = path if path.endswith("/") else path + "/"
        for pattern, template in self._paths:
            if pattern.fullmatch(slashed) or pattern.fullmatch(path):
                found = self.document["paths"][template].get(method.lower())
                if found is not None:
                    return f"{method} {template}", found
        return None

    def check(self, method: str, path: str, status: int, kind: str, body: bytes) -> None:
        found = self.operation(method, path)
        if found is None or "x-undescribed" in found[1]:
            return  # pages, media, unknown paths; routes without a description are test_openapi.py's
        name, operation = found
        if status in EVERYWHERE and str(status) not in operation["responses"]:
            return
        answer = operation["responses"].get(str(status))
        assert answer is not None, f"{name} answers {status}, which is not described: {body[:200]!r}; {WHERE}"
        if "content" not in answer:
            return
        kind = kind.split(";", maxsplit=1)[0].strip()
        assert kind in answer["content"], f"{name} answers {status} with {kind!r}, which is not described; {WHERE}"
        if kind != "application/json":
            return
        faults = list(self.faults(answer["content"][kind]["schema"], json.loads(body)))
        assert not faults, f"{name} ({status}) is not as described: {faults[:5]}; {WHERE}"


@cache
def described() -> Described:
    """The document of an application of today."""
    from reference_server.api.schemas.document import build
    from reference_server.app import create_app
    from tests.unit.reference_server.support import make_config

    with TemporaryDirectory() as folder:
        return Described(build(create_app(make_config(Path(folder)))))


async def check_later(response: httpx.Response) -> None:
    """An event hook of an asynchronous client."""
    if response.request.url.path.startswith(("/api/", "/healthz")):
        await response.aread()
        _check(response)


def check_now(response: httpx.Response) -> None:
    """An event hook of a client."""
    if response.request.url.path.startswith(("/api/", "/healthz")):
        response.read()
        _check(response)


def _check(response: httpx.Response) -> None:
    request = response.request
    kind = response.headers.get("content-type", "")
    described().check(request.method, request.url.path, response.status_code, kind, response.content)
