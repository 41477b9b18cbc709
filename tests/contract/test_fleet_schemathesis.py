"""schemathesis reads `/v1/openapi.json` and tries every call of a real server with a key: right values, wrong ones,
those at a limit. No answer may be other than described, no wrong value may be taken, no right one refused, and nothing
may end in a server error.

What it tries is the same each time: some of it, within the time that a test may take. FLEET_EXAMPLES=10 in the
environment tries all values at the limits, too (some minutes).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
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

from reference_server.api.fleet.app import fleet_document
from tests.unit.reference_server.live_server import LiveServer, Owner, running

WHOLE = "FLEET_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FLEET_EXAMPLES", "1"))
"""Of each call, besides those of the document and, if WHOLE, the systematic ones at the limits."""

OPTIONS: dict[str, Any] = {"fleet_calls_per_hour": "1000000", "allow_loopback_addresses": "yes"}
"""Addresses of this machine, since nothing answers there at once."""

GCODE = b"G28\nG1 X10 Y10 E1\nG1 X20 E2\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("schemathesis"), **OPTIONS) as found:
        yield found


class World:
    """One of everything, made through the API. `id(param)`: one and the same; `fresh`: for a call that takes it away.
    """

    def __init__(self, server: LiveServer) -> None:
        owner = Owner(server)
        answer = owner.http.post("/v1/api-keys", json={"name": "tries", "scopes": ["admin:*"]})
        owner.close()
        self.key: str = answer.json()["key"]
        headers = {"Authorization": f"Bearer {self.key}"}
        self.http = httpx.Client(base_url=f"{server.base}/v1", headers=headers, timeout=30)
        self._kept: dict[str, str] = {}
        self._count = 0

    def text(self, what: str) -> str:
        self._count += 1
        return f"{what} {self._count}"

    def id(self, param: str, *, fresh: bool = False) -> str:
        if fresh or param not in self._kept:
            made = MAKERS[param](self)
            if fresh:
                return made
            self._kept[param] = made
        return self._kept[param]

    def post(self, path: str, body: dict[str, Any]) -> str:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found

    def job(self) -> str:
        answer = self.http.post("/jobs", files={"file": ("part.gcode", GCODE)})
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found


MAKERS: dict[str, Callable[[World], str]] = {
    "printer_id": lambda world: world.post("/printers", {"name": world.text("printer")}),
    "group_id": lambda world: world.post("/groups", {"name": world.text("group")}),
    "material_id": lambda world: world.post("/materials", {"type": "PLA"}),
    "job_id": World.job,
    "webhook_id": lambda world: world.post("/webhooks", {"url": "http://127.0.0.1:9/", "events": ["job.*"]}),
    "key_id": lambda world: world.post("/api-keys", {"name": "k", "scopes": ["jobs:read"]}),
    "invitation_id": lambda world: world.post("/users/invite", {"email": f"a{len(world.text('x'))}@example.org"}),
    "user_id": lambda _: "me",
    "delivery_id": lambda _: "dlv_aaaaaaaaaaaa",
}


@pytest.fixture(scope="module")
def world(server: LiveServer) -> Iterator[World]:
    found = World(server)
    yield found
    found.http.close()


def _schema() -> Any:
    generation = GenerationConfig(
        deterministic=True, max_examples=EXAMPLES, with_security_parameters=False, allow_extra_parameters=False
    )  # fmt: skip
    phases = PhasesConfig(coverage=CoveragePhaseConfig(enabled=WHOLE))
    project = ProjectConfig(generation=generation, phases=phases)
    config = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_dict(fleet_document(), config=config)


schema = _schema()


RIGHT = {
    "expires_at": "2100-01-01T00:00:00Z",
    "from": "2026-01-01",
    "to": "2026-02-01T00:00:00Z",
    "timezone": "Europe/Berlin",
    "currency": "EUR",
    "url": "http://127.0.0.1:9/hook",
    "secret": "a secret of 16 signs",
    "server_url": "https://farm.example.org",
    "file": Binary(GCODE),
    "name": "a name",
    "interval": "day",
    "connection_url": "http://127.0.0.1:9",
    "spool_weight": 1000.0,
    "remaining_weight": 10.0,
    "copies": 1000,
}
"""Values that no schema can describe."""

REFERENCES = {"printer_id": "printer_id", "group": "group_id"}
"""Fields and parameters that name something."""

NEVER_RIGHT = ("POST /printers", "POST /printers/{printer_id}/link", "POST /jobs", "POST /users/invite")
"""Addresses that nothing answers at, a form that is filled in as a whole, people that are there already."""


def fill_in(case: Any, world: World) -> bool:
    """Put in what no schema can describe: things that there are, days, addresses. False: no case for us."""
    for name in case.path_parameters:
        case.path_parameters[name] = world.id(name, fresh=case.method == "DELETE")
    if any(value in BLANK for value in case.query.values()):
        return False  # an empty parameter is the same as none, which schemathesis takes for wrong
    if any(isinstance(value, list | dict) for value in case.query.values()):
        return False  # a parameter that comes twice: the last one counts
    told = case.meta.components.get(ParameterLocation.BODY)
    right = told is None or told.mode.is_positive
    for values, is_right in ((case.query, True), (case.body, right)):
        if isinstance(values, dict):
            for name, value in values.items():
                if is_right and type(value) in {str, int, float} and value not in BLANK:
                    values[name] = world.id(REFERENCES[name]) if name in REFERENCES else RIGHT.get(name, value)
    if "Idempotency-Key" in case.headers and 1 <= len(case.headers["Idempotency-Key"]) <= 200:
        case.headers["Idempotency-Key"] = world.text("key")  # else it is a repeat, which is not looked at
    return True


BLANK: tuple[object, ...] = ("", [], {}, None, [""], ["null"], "null")


@schema.parametrize()  # type: ignore[untyped-decorator]  # schema is Any: the library types little of this
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_every_call(case: Any, server: LiveServer, world: World) -> None:
    if not fill_in(case, world):
        return
    headers = {"Authorization": f"Bearer {world.key}"}
    # It judges a body anew that was filled in, and takes every one with bytes for wrong.
    has_bytes = isinstance(case.body, dict) and any(isinstance(value, Binary) for value in case.body.values())
    excluded = [negative_data_rejection] if has_bytes else []
    excluded += [positive_data_acceptance] if case.operation.label in NEVER_RIGHT else []
    case.call_and_validate(base_url=f"{server.base}/v1", headers=headers, excluded_checks=excluded)
