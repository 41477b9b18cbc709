"""Organization, users and invitations as the OpenAPI document shows them (fleet-api.md §7)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from reference_server.api.fleet.schemas import Given, Shown
from reference_server.services.fleet.model import Role
from reference_server.services.fleet.organization import MOST_COST, MOST_WATTS, NAME_LIMIT

Cost = Annotated[float, Field(ge=0, le=MOST_COST, allow_inf_nan=False)] | None
Watts = Annotated[float, Field(ge=0, le=MOST_WATTS, allow_inf_nan=False)] | None


class Used(Shown):
    used: int
    limit: Annotated[int | None, Field(description="null: no limit.")]


class PlanShown(Shown):
    """What the operator of the server allows; read-only."""

    printers: Used
    jobs_queued: Used
    users: Annotated[Used, Field(description="Members and open invitations.")]


class OrganizationShown(Shown):
    id: Annotated[str, Field(examples=["org_abcdefgh2345"])]
    name: str
    currency: Annotated[str, Field(description="ISO 4217.", examples=["EUR"])]
    timezone: Annotated[str, Field(description="IANA.", examples=["Europe/Berlin"])]
    electricity_cost_per_kwh: Annotated[float | None, Field(description="In `currency`.")]
    machine_cost_per_hour: Annotated[float | None, Field(description="In `currency`: wear and room.")]
    average_power_watts: Annotated[float | None, Field(description="Of one printer that prints.")]
    plan: PlanShown
    created_at: datetime
    updated_at: datetime


class OrganizationChange(Given):
    """What is absent stays as it is."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)] = ""
    currency: Annotated[str, Field(min_length=3, max_length=3)] = ""
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = ""
    electricity_cost_per_kwh: Cost = None
    machine_cost_per_hour: Cost = None
    average_power_watts: Watts = None


class UserShown(Shown):
    id: Annotated[str, Field(examples=["usr_abcdefgh2345"])]
    name: str
    email: Annotated[str | None, Field(description="null: none is known.")]
    role: Role
    created_at: Annotated[datetime, Field(description="Of the log-in.")]


class UserChange(Given):
    role: Role


class InvitationGiven(Given):
    email: Annotated[str, Field(min_length=3, max_length=254)]
    role: Role = Role.VIEWER


class InvitationShown(Shown):
    id: Annotated[str, Field(examples=["inv_abcdefgh2345"])]
    email: str
    role: Role
    invited_by: Annotated[str | None, Field(description="The user who did.")]
    created_at: datetime
    expires_at: datetime


class NewInvitationShown(InvitationShown):
    mailed: Annotated[bool, Field(description="The link went out by mail.")]
    mail_error: Annotated[str | None, Field(description="Why it did not, where the server can send mail.")]
    invite_url: Annotated[
        str | None, Field(description="The link for one use, to hand on yourself; null when it was mailed.")
    ]
