"""What the farm keeps, as frozen values. Times are aware UTC; `id` 0 = not stored yet; `public_id`: ids.py.

One organization per account: `user_id` is the user whose printers, prints and files are the organization's; other
people are its members, and see and do the same as far as their role goes (docs/fleet.md).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reference_server.services.model import Json


class Role(str, Enum):
    """OPERATOR: control and jobs, no settings. ADMIN: everything but the organization's owner."""

    OWNER = "owner"
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2, Role.OWNER: 3}

ADMIN_SCOPE = "admin:*"
SCOPES = (
    "printers:read", "printers:write", "printers:control", "jobs:read", "jobs:write", "materials:read",
    "materials:write", "analytics:read", "webhooks:write", "organization:write", "users:write",
)  # fmt: skip
WILDCARDS = (*(f"{name}:*" for name in dict.fromkeys(scope.partition(":")[0] for scope in SCOPES)), ADMIN_SCOPE)
ALL_SCOPE_WORDS = (*SCOPES, *WILDCARDS)

_VIEWER = ("printers:read", "jobs:read", "materials:read", "analytics:read")
ROLE_SCOPES: dict[Role, frozenset[str]] = {
    Role.OWNER: frozenset({ADMIN_SCOPE}),
    Role.ADMIN: frozenset({ADMIN_SCOPE}),
    Role.OPERATOR: frozenset({*_VIEWER, "printers:control", "jobs:write", "materials:write"}),
    Role.VIEWER: frozenset(_VIEWER),
}


def grants(held: Collection[str], needed: str) -> bool:
    """`printers:write` includes control; `x:*` all of x; `admin:*` everything (fleet-api.md §1)."""
    if needed in held or ADMIN_SCOPE in held or f"{needed.partition(':')[0]}:*" in held:
        return True
    return needed == "printers:control" and "printers:write" in held


@dataclass(frozen=True, slots=True)
class Organization:
    """Costs in `currency`: of a kWh, of an hour of a machine (wear and room), and the power it draws in W."""

    id: int
    public_id: str
    user_id: int
    name: str
    currency: str
    timezone: str
    created_at: datetime
    updated_at: datetime
    electricity_cost_per_kwh: float | None = None
    machine_cost_per_hour: float | None = None
    average_power_watts: float | None = None


@dataclass(frozen=True, slots=True)
class Member:
    user_id: int
    public_id: str
    organization_id: int
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    """For one use; `token_hash`: of what the link carries."""

    id: int
    public_id: str
    organization_id: int
    email: str
    role: Role
    token_hash: str
    invited_by: int
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FleetKey:
    """`user_id`: who made it; the key can never do more than that person may."""

    id: int
    public_id: str
    organization_id: int
    user_id: int
    key_hash: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    public_id: str
    organization_id: int
    name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FleetPrinter:
    """The farm's side of a printer. `bed_clear` False: the bed may hold a part, and nothing is started on it;
    `auto_continue`: something takes parts off by itself."""

    printer_id: int
    public_id: str
    user_id: int
    updated_at: datetime
    model: str = ""
    location: str = ""
    group_id: int | None = None
    tags: tuple[str, ...] = ()
    bed_clear: bool = True
    auto_continue: bool = False
    told_online: bool = False  # by the last event of it


@dataclass(frozen=True, slots=True)
class FleetEvent:
    """One thing that web hooks may tell. `name` as `job.completed`; `object_id`: whose order of events is kept."""

    id: int
    public_id: str
    organization_id: int
    name: str
    object_id: str
    created_at: datetime
    data: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FleetAnswer:
    """What was answered to a POST with an Idempotency-Key. `status` 0: it was carried out (`object_id` is what it
    made), and the server was stopped before it had answered."""

    id: int
    credential: str
    key: str
    request_hash: str
    object_id: str
    status: int
    body: str
    created_at: datetime
