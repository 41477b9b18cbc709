"""The OpenAPI document: routes of the application + the tables of this package. Made at the first request for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from reference_server import VERSION
from reference_server.api.auth import SESSION_COOKIE, is_agent_dependency, is_user_dependency
from reference_server.api.routes import flat
from reference_server.api.schemas import (
    accounts,
    agent,
    alerts,
    detection,
    examples,
    files,
    invitations,
    others,
    printers,
    prints,
    security,
    sharing,
    tunnels,
)
from reference_server.api.schemas.objects import AgentError, Error
from reference_server.api.schemas.parts import JSON, Answer, Body, Call, Param, Schema
from reference_server.api.scopes import role_for, scope_for

TABLES = (accounts, security, invitations, printers, prints, detection, alerts, files, others, agent, sharing, tunnels)
"""A new router's table is added here."""

ABOUT = """\
An Obico-compatible server. Paths under `/api/` work with and without the trailing slash.

**Credentials**: the session cookie of a log-in (then POST, PUT, PATCH and DELETE need the header `X-CSRFToken` with the
value of the cookie `tsd_csrftoken`), or an API key as `Authorization: Bearer <key>` or `X-API-KEY: <key>`. Agents send
`Authorization: Token <auth_token>`.

**Objects of other users** do not exist: 404. **Times** are ISO 8601, UTC. **Pictures and videos** have signed addresses
that need no other credentials and expire.

**Web sockets** (not in this document): `/ws/web/{printer_id}/` and `/ws/web/` send whole Printer objects at each
change.
"""

TAGS = {
    "accounts": "First run, log-in, the user, API keys.",
    "printers": "Printers, their settings and live state, and what is done to their prints.",
    "prints": "Print jobs, their videos and what detection saw.",
    "detection": "What failure detection saw, decided and leaves out, and what people say of it.",
    "files": "G-code files and folders that are kept on the server, and those that printers have.",
    "alerts": "Who is told of what, where and when, and what became of it.",
    "others": "Linking codes, printer events, version, health.",
    "agent": "For agents.",
}


class _Plain(GenerateJsonSchema):
    """No titles that only repeat a field's name, and no defaults: the server's are not the documentation's."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


def api_routes(app: FastAPI) -> Iterator[tuple[str, APIRoute]]:
    """"METHOD /path/" and route of every call, pages and media left out."""
    for route in flat(app.routes):
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in sorted(route.methods or ()):
                yield f"{method} {route.path}", route


def known_calls() -> dict[str, Call]:
    """Every table in one."""
    return {key: call for table in TABLES for key, call in table.CALLS.items()}


UNKNOWN = Call("Not described yet", {200: Answer("An answer.", Any)})


def build(app: FastAPI) -> dict[str, Any]:
    """The whole document. A route without a table entry is shown with an answer of any kind."""
    declared = get_openapi(title="", version="", routes=app.routes)  # what handlers tell of their parameters
    components = _Components(declared.get("components", {}).get("schemas", {}))
    paths: dict[str, dict[str, Any]] = {}
    calls = known_calls()
    for key, route in api_routes(app):
        method, path = key.split(" ", 1)
        told = declared["paths"][path][method.lower()]
        paths.setdefault(path, {})[method.lower()] = _operation(
            method, route, calls.get(key, UNKNOWN), told, components
        )  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Printers", "version": VERSION, "description": ABOUT,
            "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": dict(sorted(components.schemas.items())), "securitySchemes": SECURITY},
    }  # fmt: skip


SECURITY = {
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "Set by log-in."},
    "csrf": {
        "type": "apiKey", "in": "header", "name": "X-CSRFToken",
        "description": "With the session cookie, for all but GET: the value of the cookie `tsd_csrftoken`.",
    },
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "keyHeader": {"type": "apiKey", "in": "header", "name": "X-API-KEY", "description": "An API key."},
    "agent": {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "`Token <auth_token>`: a printer's agent.",
    },
}  # fmt: skip


class _Components:
    """Schemas by name, as the document refers to them."""

    def __init__(self, declared: dict[str, Any]) -> None:
        self.schemas: dict[str, Any] = {}
        self._declared = declared

    def of(self, model: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """The schema of a type; classes become components, here and inside."""
        template = "#/components/schemas/{model}"
        found = TypeAdapter(model).json_schema(mode=mode, ref_template=template, schema_generator=_Plain)
        for name, schema in found.pop("$defs", {}).items():
            self._put(name, schema)
        if isinstance(model, type) and issubclass(model, BaseModel) and "$ref" not in found:
            self._put(model.__name__, found)
            return {"$ref": template.format(model=model.__name__)}
        plain: dict[str, Any] = _without_titles(found)
        return plain

    def told(self, schema: Any) -> Any:
        """A schema that FastAPI has made of a handler's parameters, with the components that it refers to."""
        if isinstance(schema, list):
            return [self.told(entry) for entry in schema]
        if not isinstance(schema, dict):
            return schema
        if isinstance(schema.get("$ref"), str):
            name = schema["$ref"].rpartition("/")[2]
            if name not in self.schemas:
                self._put(name, self.told(self._declared[name]))
        return _without_titles({key: self.told(value) for key, value in schema.items()})

    def _put(self, name: str, schema: dict[str, Any]) -> None:
        schema = _without_titles(schema)
        if self.schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two different objects are called {name}")


def _without_titles(schema: Any) -> Any:
    """Titles only repeat names."""
    if isinstance(schema, list):
        return [_without_titles(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: (
            {name: _without_titles(each) for name, each in value.items()}
            if key == "properties"
            else _without_titles(value)
        )
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _told_parameter(told: dict[str, Any], components: _Components) -> dict[str, Any]:
    """A handler's parameter; there is no null in a query."""
    found: dict[str, Any] = components.told(told)
    choices = [each for each in found["schema"].pop("anyOf", []) if each != {"type": "null"}]
    if choices:
        found["allowEmptyValue"] = found["in"] == "query"  # `?filter=` is the same as none (parameters.py)
        found["schema"] = choices[0] if len(choices) == 1 else {"anyOf": choices}
        length = told["schema"].get("maxLength")
        if length is not None:  # pydantic's word for both
            found["schema"]["maxItems" if found["schema"].get("type") == "array" else "maxLength"] = length
    return found


def _depends(dependant: Dependant, wanted: Any) -> bool:
    return any(wanted(entry.call) or _depends(entry, wanted) for entry in dependant.dependencies)


def _operation(
    method: str, route: APIRoute, call: Call, told: dict[str, Any], components: _Components
) -> dict[str, Any]:
    """`told`: the operation as FastAPI sees it; the table's parameters and body go before its."""
    by_user, by_agent = _depends(route.dependant, is_user_dependency), _depends(route.dependant, is_agent_dependency)
    tag = call.tag or (str(route.tags[0]) if route.tags else "others")
    params = [_parameter(param) for param in call.params]
    known = {param.name for param in call.params}
    by_handler = [_told_parameter(each, components) for each in told.get("parameters", []) if each["name"] not in known]
    params = [each for each in by_handler if each["in"] == "path"] + params
    params += [each for each in by_handler if each["in"] != "path"]
    body = _body(call.body, components) if call.body is not None else components.told(told.get("requestBody"))
    found: dict[str, Any] = {
        "tags": [tag],
        "summary": call.summary,
        "operationId": f"{method.lower()}_{re.sub(r'[^a-z0-9]+', '_', route.path.lower()).strip('_')}",
        "parameters": params,
        "responses": {
            str(status): _response(answer, components)
            for status, answer in sorted(_answers(method, call, _Input(params, body), by_user, by_agent).items())
        },
    }
    text = call.text or route.description
    if text:
        found["description"] = text
    if body is not None:
        found["requestBody"] = body
    if call is UNKNOWN:
        found["x-undescribed"] = True
    if by_agent:
        found["security"] = [{"agent": []}]
    elif by_user:
        session: dict[str, list[str]] = {"session": []} if method == "GET" else {"session": [], "csrf": []}
        found["security"] = [session, {"key": []}, {"keyHeader": []}]
        path = re.sub(r"{\w+}", "1", route.path)
        found["x-scope"] = scope_for(method, path).value  # that an API key must have
        found["x-role"] = role_for(method, path).value  # the lowest that its user must have (docs/people.md)
    else:
        found["security"] = []
    return found


@dataclass(frozen=True, slots=True)
class _Input:
    """What an operation takes."""

    params: list[dict[str, Any]]
    body: dict[str, Any] | None

    @property
    def has_id(self) -> bool:
        return any(each["in"] == "path" for each in self.params)


def _answers(method: str, call: Call, takes: _Input, by_user: bool, by_agent: bool) -> dict[int, Answer]:
    """The call's own, and those that any such call may give."""
    found: dict[int, Answer] = {}
    if takes.body is not None or any(each["in"] != "path" for each in takes.params):
        found[400] = Answer("The request is not valid; `errors` names the fields.", Error, examples.INVALID)
    if by_agent:
        found[401] = Answer("No token, or an unknown one.", Error | AgentError,
                            {"error": "Invalid or Inactive Token", "is_authenticated": "False"},
                            headers={"WWW-Authenticate": "`Token`"})  # fmt: skip
    if by_user:
        found[401] = Answer(
            "No credentials, or wrong ones.", Error, {"detail": "Authentication credentials were not provided."},
            headers={"WWW-Authenticate": "`Bearer`"},
        )  # fmt: skip
        found[403] = Answer("Not allowed with these credentials, or no CSRF token.", Error, {"detail": "Not allowed."})
    if takes.has_id:
        found[404] = Answer("There is none, or it is somebody else's.", Error, examples.ERROR)
    if takes.body is not None:
        found[413] = Answer("The body is too large.", Error, {"detail": "The request is larger than 1048576 bytes."})
    if call.body is not None and call.body.media != (JSON,):
        found[415] = Answer("A form is needed.", Error, {"detail": "A form is needed."})
    if call.throttled:
        found[429] = Answer("Too many tries.", Error, {"detail": "Too many tries. Wait a little and try again."},
                            headers={"Retry-After": "Seconds."})  # fmt: skip
    if method != "GET" or by_user or by_agent:
        found[503] = Answer("The database did not do it; trying again may help.", Error, {"detail": "…"})
    return {**found, **call.answers}


def _parameter(param: Param) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": param.name, "in": param.where, "required": param.required, "schema": dict(param.schema),
    }  # fmt: skip
    if param.text:
        found["description"] = param.text
    if param.example is not None:
        found["example"] = param.example
    if param.schema.get("type") == "array":
        found["style"], found["explode"] = "form", True
    return found


def _content(media: str, schema: Schema, example: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {media: content}


def _body(body: Body, components: _Components) -> dict[str, Any]:
    schema = components.of(body.model, "validation")
    content: dict[str, Any] = {}
    for media in body.media:
        content.update(_content(media, schema, body.example))
    return {"required": body.required, "content": content}


def _response(answer: Answer, components: _Components) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.text}
    if answer.model is not None:
        schema = components.of(answer.model, "serialization")
        found["content"] = _content(answer.media, schema, answer.example)
    if answer.headers:
        found["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return found


