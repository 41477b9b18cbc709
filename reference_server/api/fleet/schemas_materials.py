"""Materials as the OpenAPI document shows them. Weights in g, diameter in mm, density in g/cm³, costs in the
organization's currency."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from reference_server.api.fleet.schemas import Given, Shown

Name = Annotated[str, Field(min_length=1, max_length=100)]
Weight = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
FullWeight = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
Cost = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Diameter = Annotated[float, Field(ge=0.5, le=5, allow_inf_nan=False, description="Filament, in mm.")]
Density = Annotated[
    float, Field(ge=0.1, le=25, allow_inf_nan=False, description="g/cm³; null: that of the type, or 1.24.")
]
Tool = Annotated[int, Field(ge=0, le=15, description="Which tool of the printer it is in.")]
PrinterId = Annotated[
    str, Field(max_length=100, description="The printer that it is loaded in; what was there is unloaded.")
]


class MaterialShown(Shown):
    id: Annotated[str, Field(examples=["mat_abcdefgh2345"])]
    type: str
    brand: str | None
    color: str | None
    diameter: float
    density: Annotated[float, Field(description="The one that is reckoned with, g/cm³.")]
    density_source: Annotated[
        Literal["given", "type", "assumed"], Field(description="assumed: the type is unknown, 1.24 is taken.")
    ]
    spool_weight: float
    remaining_weight: float
    cost_per_kg: float | None
    printer_id: str | None
    tool: Annotated[int | None, Field(description="null: it is in no printer.")]
    reorder_threshold: float | None
    status: Literal["active", "low", "empty"]
    created_at: datetime
    updated_at: datetime


class MaterialGiven(Given):
    type: Annotated[Name, Field(examples=["PLA"])]
    brand: Name | None = None
    color: Name | None = None
    diameter: Diameter = 1.75
    density: Density | None = None
    spool_weight: Annotated[FullWeight, Field(description="Filament on a full spool.")] = 1000.0
    remaining_weight: Annotated[Weight | None, Field(description="Left out: a full spool.")] = None
    cost_per_kg: Cost | None = None
    printer_id: PrinterId | None = None
    tool: Tool = 0
    reorder_threshold: Annotated[Weight | None, Field(description="At so much or less it is low; null: never.")] = None


class MaterialChange(Given):
    """What is left out stays. `printer_id` loads, null unloads; `remaining_weight` tells what a scale says."""

    type: Name = ""
    brand: Name | None = None
    color: Name | None = None
    diameter: Diameter = 1.75
    density: Density | None = None
    spool_weight: FullWeight = 1000.0
    remaining_weight: Weight = 0.0
    cost_per_kg: Cost | None = None
    printer_id: PrinterId | None = None
    tool: Tool = 0
    reorder_threshold: Weight | None = None
