"""The OpenAPI document of `/v1`: what FastAPI knows of the routes, and what it cannot know: credentials, scopes,
errors, and the headers that every answer carries (fleet-api.md §1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from reference_server.api.auth import SESSION_COOKIE
from reference_server.api.fleet.auth import scope_of
from reference_server.api.fleet.document_words import OPERATIONS, PARAMETERS, SORTED_BY, TAGS, error_examples, example
from reference_server.api.fleet.schemas import Error
from reference_server.api.routes import flat

ABOUT = """\
The same printers as a farm: groups and tags, actions, a job queue, materials, figures, web hooks, people.

**Credentials**: `Authorization: Bearer pf_live_…` (or basic authentication with the key as user name), or the session
of the dashboard. **Lists** take `page`, `per_page` (at most 100), `sort` and `fields`. **POST** takes an
`Idempotency-Key`: a repeat within 24 hours gets the first answer. Paths work with and without a trailing slash.
"""

_ERRORS = {
    "400": "invalid_request", "401": "invalid_api_key", "402": "quota_exceeded", "403": "insufficient_permissions",
    "404": "resource_not_found", "409": "printer_busy, printer_offline, or a name that is taken",
    "422": "invalid_request (a body that does not validate) or file_invalid", "429": "rate_limit_exceeded",
    "500": "internal_error",
}  # fmt: skip

_RATE_HEADERS = {
    "X-RateLimit-Limit": "Calls an hour.",
    "X-RateLimit-Remaining": "Calls left.",
    "X-RateLimit-Reset": "Unix seconds when all are there again.",
}


def _scopes(dependant: Dependant) -> Iterator[str | None]:
    for each in dependant.dependencies:
        if (scope := scope_of(each.call)) != "":
            yield scope
        yield from _scopes(each)


def complete(app: FastAPI, found: dict[str, Any]) -> dict[str, Any]:
    """`found`: FastAPI's own document; it is completed and given back."""
    found["info"]["description"] = ABOUT
    found["servers"] = [{"url": "/v1"}]
    found["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    error = Error.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(error.pop("$defs", {}))
    schemas["Error"] = error
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "bearerFormat": "pf_live_<64 hex digits>"},
        "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
    }
    _allow_parts(schemas)
    for route in flat(app.routes):
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                operation = found["paths"][route.path_format][method.lower()]
                _complete_operation(operation, route, method)
                _show(operation, schemas)
    return found


def _allow_parts(schemas: dict[str, Any]) -> None:
    """With `fields`, the objects of a list have only those."""
    for name in [name for name in schemas if name.startswith("Page_")]:
        items = schemas[name]["properties"]["data"]["items"]
        whole = items["$ref"].rpartition("/")[2]
        part = {key: value for key, value in schemas[whole].items() if key != "required"}
        schemas[f"{whole}Part"] = {**part, "title": f"{whole}Part", "description": "Only the wanted `fields`."}
        schemas[name]["properties"]["data"]["items"] = {
            "anyOf": [items, {"$ref": f"#/components/schemas/{whole}Part"}]
        }


def _tell_fields(operation: dict[str, Any], parameter: dict[str, Any], schemas: dict[str, Any]) -> None:
    page = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    item = schemas[page]["properties"]["data"]["items"]["anyOf"][0]["$ref"].rpartition("/")[2]
    _several(parameter, schemas[item]["properties"], "", "*")


def _several(parameter: dict[str, Any], words: Iterable[str], before: str, times: str) -> None:
    """A parameter that takes several of these words by comma; `before`, `times`: of its pattern."""
    parameter["description"] += f" Out of: {', '.join(f'`{word}`' for word in words)}."
    word = f"{before}({'|'.join(words)})"
    text = next(each for each in parameter["schema"]["anyOf"] if each != {"type": "null"})
    parameter["schema"] = {**text, "pattern": f"^{word}(,{word}){times}$"}


def _show(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Names, words and examples, for people and for SDK generators."""
    if operation["operationId"] not in SORTED_BY:  # a list that has one order
        operation["parameters"] = [each for each in operation.get("parameters", ()) if each["name"] != "sort"]
    for parameter in operation["parameters"]:
        parameter.setdefault("description", PARAMETERS.get(parameter["name"], ""))
        if parameter["name"] == "fields":
            _tell_fields(operation, parameter, schemas)
        if parameter["name"] == "sort":
            _several(parameter, SORTED_BY[operation["operationId"]], "-?", "{0,4}")
    bodies = list(operation.get("requestBody", {}).get("content", {}).values())
    for body in bodies:
        title = body["schema"].get("title")
        if title and "$ref" not in body["schema"]:
            schemas[title] = body["schema"]
            body["schema"] = {"$ref": f"#/components/schemas/{title}"}
    answers = [
        content for status, answer in operation["responses"].items() if status.startswith("2")
        for kind, content in answer.get("content", {}).items() if kind == "application/json"
    ]  # fmt: skip
    for content in (*bodies, *answers):
        content.setdefault("example", example(schemas, content["schema"]))


def _complete_operation(operation: dict[str, Any], route: APIRoute, method: str) -> None:
    operation["operationId"] = OPERATIONS.get(route.name, route.name)
    operation["tags"] = operation["tags"][-1:]
    scopes = list(_scopes(route.dependant))
    if scopes:
        operation["security"] = [{"key": []}, {"session": []}]
        needed = [scope for scope in scopes if scope]
        if needed:
            operation["description"] = f"{operation.get('description', '')}\n\nScope: `{needed[0]}`.".strip()
    if method == "POST" and getattr(route, "repeatable", False):
        operation.setdefault("parameters", []).append(
            {"name": "Idempotency-Key", "in": "header", "required": False,
             "schema": {"type": "string", "minLength": 1, "maxLength": 200}}
        )  # fmt: skip
    responses = operation["responses"]
    responses.pop("422", None)
    for status, text in _ERRORS.items():
        if (status == "404" and "{" not in route.path_format) or (
            (status in {"402", "422"} and method in {"GET", "DELETE"}) or (status == "409" and method == "GET")
        ):
            continue
        content = {"schema": {"$ref": "#/components/schemas/Error"}, "examples": error_examples(status)}
        responses.setdefault(status, {"description": text, "content": {"application/json": content}})
    for response in responses.values():
        response.setdefault("headers", {
            name: {"description": text, "schema": {"type": "integer"}} for name, text in _RATE_HEADERS.items()
        })  # fmt: skip
