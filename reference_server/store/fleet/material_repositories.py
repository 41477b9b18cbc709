"""services.fleet.ports.Materials on SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from reference_server.services.fleet.material_model import LoadedMaterial, Material, MaterialStatus
from reference_server.services.fleet.ports import MaterialFilter, Window
from reference_server.store.fleet.material_tables import MaterialRow
from reference_server.store.fleet.pages import page
from reference_server.store.mapping import columns_of, copy_to, to_entity
from reference_server.store.tables import PrinterRow

_EMPTY = MaterialRow.remaining_weight <= 0
_LOW = and_(
    MaterialRow.remaining_weight > 0, MaterialRow.reorder_threshold.is_not(None),
    MaterialRow.remaining_weight <= MaterialRow.reorder_threshold,
)  # fmt: skip
_ACTIVE = and_(
    MaterialRow.remaining_weight > 0,
    or_(
        MaterialRow.reorder_threshold.is_(None), MaterialRow.remaining_weight > MaterialRow.reorder_threshold
    ),
)
_STATUS: Mapping[MaterialStatus, ColumnElement[bool]] = {
    MaterialStatus.EMPTY: _EMPTY, MaterialStatus.LOW: _LOW, MaterialStatus.ACTIVE: _ACTIVE,
}  # fmt: skip


class SqlMaterials:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, material: Material) -> Material:
        row = MaterialRow()
        copy_to(row, material)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Material)

    def save(self, material: Material) -> None:
        if (row := self._session.get(MaterialRow, material.id)) is not None:
            copy_to(row, material)
            self._session.flush()

    def get(self, public_id: str) -> Material | None:
        row = self._session.scalars(select(MaterialRow).where(MaterialRow.public_id == public_id)).first()
        return to_entity(row, Material) if row else None

    def by_id(self, material_id: int) -> Material | None:
        row = self._session.get(MaterialRow, material_id)
        return to_entity(row, Material) if row else None

    def count(self, organization_id: int) -> int:
        query = select(func.count()).where(
            MaterialRow.organization_id == organization_id, MaterialRow.archived_at.is_(None)
        )
        return self._session.scalar(query) or 0

    def list(self, wanted: MaterialFilter, window: Window) -> tuple[Sequence[Material], int]:
        table = MaterialRow
        query = select(table).where(table.organization_id == wanted.organization_id, table.archived_at.is_(None))
        if wanted.type is not None:
            query = query.where(func.lower(table.type) == wanted.type.lower())
        if wanted.status is not None:
            query = query.where(_STATUS[wanted.status])
        if wanted.printer_id is not None:
            query = query.where(table.printer_id == wanted.printer_id)
        if wanted.q:
            texts = (table.type, table.brand, table.color)
            query = query.where(or_(*(text.icontains(wanted.q, autoescape=True) for text in texts)))
        columns = {
            "type": table.type, "brand": table.brand, "color": table.color, "spool_weight": table.spool_weight,
            "remaining_weight": table.remaining_weight, "cost_per_kg": table.cost_per_kg,
            "created_at": table.created_at, "updated_at": table.updated_at,
        }  # fmt: skip
        rows, total = page(self._session, query, window, columns, table.id)
        return [to_entity(row, Material) for row in rows], total

    def in_printer(self, printer_id: int) -> Sequence[Material]:
        query = select(MaterialRow).where(MaterialRow.printer_id == printer_id).order_by(MaterialRow.tool)
        return [to_entity(row, Material) for row in self._session.scalars(query)]

    def loaded(self, user_id: int) -> Mapping[int, tuple[LoadedMaterial, ...]]:
        query = (
            select(*columns_of(MaterialRow, Material))
            .join(PrinterRow, PrinterRow.id == MaterialRow.printer_id)
            .where(PrinterRow.user_id == user_id)
            .order_by(MaterialRow.printer_id, MaterialRow.tool)
        )
        found: dict[int, tuple[LoadedMaterial, ...]] = {}
        for row in self._session.execute(query):
            material = Material(*row)
            number = material.printer_id or 0
            found[number] = (
                *found.get(number, ()),
                LoadedMaterial(
                    material.public_id, material.tool, material.type, material.brand, material.color,
                    material.remaining_weight, material.status,
                ),
            )  # fmt: skip
        return found

    def all(self, organization_id: int) -> Sequence[Material]:
        query = select(MaterialRow).where(MaterialRow.organization_id == organization_id).order_by(MaterialRow.id)
        return [to_entity(row, Material) for row in self._session.scalars(query)]
