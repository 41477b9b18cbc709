"""Materials: `/v1/materials`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.fleet.auth import MaterialsRead, MaterialsWrite
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.route import FleetRoute, once_of
from reference_server.api.fleet.schemas import Page
from reference_server.api.fleet.schemas_materials import MaterialChange, MaterialGiven, MaterialShown
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json, empty
from reference_server.services.fleet.material_model import MaterialStatus
from reference_server.services.fleet.materials import Shown

router = APIRouter(prefix="/materials", tags=["materials"], route_class=FleetRoute)

SORTABLE = (
    "type", "brand", "color", "spool_weight", "remaining_weight", "cost_per_kg", "created_at", "updated_at",
)  # fmt: skip


def _view(shown: Shown) -> dict[str, Any]:
    material = shown.material
    return {
        "id": material.public_id, "type": material.type, "brand": material.brand, "color": material.color,
        "diameter": material.diameter, "density": material.effective_density,
        "density_source": material.density_source, "spool_weight": material.spool_weight,
        "remaining_weight": round(material.remaining_weight, 2), "cost_per_kg": material.cost_per_kg,
        "printer_id": shown.printer, "tool": material.tool if shown.printer else None,
        "reorder_threshold": material.reorder_threshold, "status": material.status.value,
        "created_at": time(material.created_at), "updated_at": time(material.updated_at),
    }  # fmt: skip


@router.get("", response_model=Page[MaterialShown], summary="List materials")
async def list_materials(
    context: Services, caller: MaterialsRead, paging: List,
    type: Annotated[  # noqa: A002 - the parameter's name in the API
        str | None, Query(max_length=100, description="In any case.", examples=["PLA"])
    ] = None,
    status: MaterialStatus | None = None,
    printer_id: Annotated[str | None, Query(max_length=100, description="Loaded in that printer.")] = None,
    q: Annotated[str | None, Query(max_length=100, description="A part of type, brand or color.")] = None,
) -> Response:  # fmt: skip
    found, total = await run_in_threadpool(
        context.fleet.materials.list, caller.identity, paging.window(SORTABLE), type, status, printer_id, q
    )
    return paging.answer([_view(material) for material in found], total, MaterialShown.model_fields)


@router.post("", status_code=201, response_model=MaterialShown, summary="Create a material")
async def create_material(
    request: Request, context: Services, caller: MaterialsWrite, new: MaterialGiven
) -> Response:
    """A type that is unknown (not PLA, PETG, ABS, ASA, TPU, PC, PA, PVA, HIPS or PP, also as in PLA+ or PA6-CF) is
    reckoned with 1.24 g/cm³ unless `density` says better; `density_source` tells."""
    given = new.model_dump(exclude_unset=True)
    if given.get("remaining_weight") is None:
        given.pop("remaining_weight", None)
    made = await run_in_threadpool(context.fleet.materials.create, caller.identity, given, once_of(request))
    return Json(_view(made), 201)


@router.get("/{material_id}", response_model=MaterialShown, summary="One material")
async def get_material(material_id: str, context: Services, caller: MaterialsRead) -> Response:
    return Json(_view(await run_in_threadpool(context.fleet.materials.get, caller.identity, material_id)))


@router.patch("/{material_id}", response_model=MaterialShown, summary="Change, load, unload, refill a material")
async def change_material(
    material_id: str, context: Services, caller: MaterialsWrite, change: MaterialChange
) -> Response:
    """`printer_id` loads it there and unloads what was there; null unloads it. `remaining_weight` above
    `reorder_threshold` refills it: `material.low` and `material.empty` may be raised again."""
    given = change.model_dump(exclude_unset=True)
    return Json(_view(await run_in_threadpool(context.fleet.materials.change, caller.identity, material_id, given)))


@router.delete("/{material_id}", status_code=204, summary="Archive a material; what prints used of it stays known")
async def archive_material(material_id: str, context: Services, caller: MaterialsWrite) -> Response:
    await run_in_threadpool(context.fleet.materials.archive, caller.identity, material_id)
    return empty(204)
