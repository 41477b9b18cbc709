"""The organization: `/v1/organization`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.fleet.auth import Anybody, OrganizationWrite
from reference_server.api.fleet.route import FleetRoute
from reference_server.api.fleet.schemas_people import OrganizationChange, OrganizationShown
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json
from reference_server.services.fleet.model import Organization

router = APIRouter(prefix="/organization", tags=["organization"], route_class=FleetRoute)


async def _view(context: Services, caller: Anybody, organization: Organization) -> dict[str, Any]:
    usage = await run_in_threadpool(context.fleet.organizations.usage, caller.identity)
    return {
        "id": organization.public_id, "name": organization.name, "currency": organization.currency,
        "timezone": organization.timezone, "electricity_cost_per_kwh": organization.electricity_cost_per_kwh,
        "machine_cost_per_hour": organization.machine_cost_per_hour,
        "average_power_watts": organization.average_power_watts,
        "plan": {quota.value: {"used": used, "limit": limit} for quota, (used, limit) in usage.items()},
        "created_at": time(organization.created_at), "updated_at": time(organization.updated_at),
    }  # fmt: skip


@router.get("", response_model=OrganizationShown, summary="The organization and its plan")
async def get_organization(context: Services, caller: Anybody) -> Response:
    found = await run_in_threadpool(context.fleet.organizations.get, caller.identity)
    return Json(await _view(context, caller, found))


@router.patch("", response_model=OrganizationShown, summary="Change name, currency, time zone, costs")
async def change_organization(context: Services, caller: OrganizationWrite, change: OrganizationChange) -> Response:
    changes = {name: getattr(change, name) for name in change.model_fields_set}
    found = await run_in_threadpool(context.fleet.organizations.change, caller.identity, changes)
    return Json(await _view(context, caller, found))
