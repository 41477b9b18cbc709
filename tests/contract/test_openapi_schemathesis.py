"""schemathesis reads the OpenAPI document and tries every call of a real server with values that it makes of it: right
ones, wrong ones, those at a limit. No answer may be other than described, no wrong value may be taken, no right one
refused, and nothing may end in a server error.

What it tries is the same each time (a fixed seed, no memory of earlier finds): some of it, within the time that a test
may take. API_EXAMPLES=6 in the environment tries all values at the limits, too (some minutes).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import (
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.transport.serialization import Binary

from tests.unit.reference_server.described import described
from tests.unit.reference_server.live_server import LiveServer, running
from tests.unit.reference_server.support import PASSWORD, jpeg
from tests.unit.reference_server.world import World

WHOLE = "API_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("API_EXAMPLES", "2"))
"""Of each call, besides those of the document and, if WHOLE, the systematic ones at the limits."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("schemathesis")) as found:
        yield found


@pytest.fixture(scope="module")
def world(server: LiveServer) -> World:
    found, decoy = World(server.app, "ada"), World(server.app, "eve")  # the owner; the first ids are eve's
    for param in ("printer_id", "print_id", "file_id", "key_id"):
        decoy.id(param)
    return found


def _schema() -> Any:
    generation = GenerationConfig(
        deterministic=True, max_examples=EXAMPLES, with_security_parameters=False, allow_extra_parameters=False
    )  # fmt: skip
    phases = PhasesConfig(coverage=CoveragePhaseConfig(enabled=WHOLE))
    project = ProjectConfig(generation=generation, phases=phases)
    config = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(dict(described().document), config=config)


schema = _schema()


RIGHT = {
    "pic": Binary(jpeg()),
    "file": Binary(b"G28\n"),
    "password": PASSWORD,
    "old_password": PASSWORD,
    "new_password": PASSWORD,
    "expires_at": "2100-01-01T00:00:00Z",
    "zone": "Europe/Berlin",
}
"""Fields of bodies that no schema can describe."""

BLANK: tuple[object, ...] = ("", [], {}, None, [""], ["null"], "null")

NEVER_RIGHT = (
    "POST /api/v1/auth/second_factor/confirm/", "GET /api/v1/oauth/request/", "POST /api/v1/oauth/grant/",
    "POST /api/v1/oauth/clients/", "POST /api/v1/notification_channels/",
    "PATCH /api/v1/notification_channels/{channel_id}/", "PATCH /api/v1/notification_settings/",
)  # fmt: skip
"""A code that is right in this half minute; a program and an address, a channel and a target that belong together."""

FAR_OFF = re.compile(r"1[0-8]|19[0-6]|0|2[2-9]|[3-9]")
"""The beginning of a date in a year that the server refuses; no schema can say which."""


def _fill_in(case: Any, world: World) -> bool:
    """Put in what no schema can describe: ids that there are, a picture, a time zone. False: no case for us."""
    for name, value in case.path_parameters.items():
        if (type(value) is int and value > 0) or name == "session_id":  # there are 2**53 of them
            takes_away = case.method == "DELETE" or "archive" in case.path
            case.path_parameters[name] = world.id(name, fresh=takes_away)
    if any(value in BLANK for value in case.query.values()):
        return False  # an empty parameter is the same as none, which schemathesis takes for wrong
    if any(isinstance(value, list | dict) and not name.endswith("[]") for name, value in case.query.items()):
        return False  # a parameter that comes twice: the last one counts
    if any(FAR_OFF.match(str(case.query.get(name))) for name in ("from_date", "to_date")):
        return False
    if 0 < len(case.query.get("timezone") or "") <= 64:
        case.query["timezone"] = "Europe/Berlin"
    if isinstance(case.body, dict):
        _fill_in_body(case, world)
    if len(case.headers.get("Idempotency-Key") or "") <= 200 and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = world.text("key")  # else it is a repeat, which is not looked at
    return True


def _fill_in_body(case: Any, world: World) -> None:
    told = case.meta.components.get(ParameterLocation.BODY)
    positive = told is None or told.mode.is_positive
    if positive:
        case.body.update({name: value for name, value in RIGHT.items() if isinstance(case.body.get(name), str)})
    elif re.match(r"\d{4}-", str(case.body.get("expires_at"))):
        case.body["expires_at"] = RIGHT["expires_at"]
    for name, of in (("parent_folder", "folder_id"), ("printer_id", "printer_id")):
        value = case.body.get(name)
        if type(value) is int and 0 < value <= 2**53:
            case.body[name] = None if "{folder_id}" in case.path else world.id(of)  # none moves into itself
        elif positive and isinstance(value, str):
            case.body[name] = str(world.id(of))
    if positive and case.path == "/api/v1/sharedresources/":
        case.query["printer_id"] = world.id("printer_id")  # in the query or in the body


@schema.parametrize()  # type: ignore[untyped-decorator]  # schema is Any: the library types little of this
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_every_call(case: Any, server: LiveServer, world: World) -> None:
    if not _fill_in(case, world):
        return
    security = [name for entry in case.operation.definition.raw["security"] for name in entry]
    headers = {}
    if "agent" in security:
        headers = {"Authorization": f"Token {world.token}"}
    elif security:
        headers = {"Authorization": f"Bearer {world.key}"}
    # It judges a body anew that was filled in, and takes every one with bytes for wrong.
    has_bytes = isinstance(case.body, dict) and any(isinstance(value, Binary) for value in case.body.values())
    excluded = [negative_data_rejection] if has_bytes else []
    excluded += [positive_data_acceptance] if case.operation.label in NEVER_RIGHT else []
    case.call_and_validate(base_url=server.base, headers=headers, excluded_checks=excluded)
