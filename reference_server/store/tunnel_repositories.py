"""Printers' web interfaces: ports and keys."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reference_server.services.tunnels import TunnelKey
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tunnel_tables import TunnelKeyRow, TunnelPortRow


class SqlTunnels:
    def __init__(self, session: Session) -> None:
        self._session = session

    def ports(self) -> dict[int, int]:
        return {row.printer_id: row.port for row in self._session.scalars(select(TunnelPortRow))}

    def set_port(self, printer_id: int, port: int) -> None:
        row = self._session.get(TunnelPortRow, printer_id) or TunnelPortRow(printer_id=printer_id)
        row.port = port
        self._session.add(row)
        self._session.flush()

    def forget_port(self, printer_id: int) -> None:
        self._session.execute(delete(TunnelPortRow).where(TunnelPortRow.printer_id == printer_id))

    def keys_of(self, printer_id: int) -> Sequence[TunnelKey]:
        query = select(TunnelKeyRow).where(TunnelKeyRow.printer_id == printer_id).order_by(TunnelKeyRow.id)
        return [to_entity(row, TunnelKey) for row in self._session.scalars(query)]

    def key(self, key_id: int) -> TunnelKey | None:
        row = self._session.get(TunnelKeyRow, key_id)
        return to_entity(row, TunnelKey) if row else None

    def key_by_login(self, login: str) -> TunnelKey | None:
        row = self._session.scalars(select(TunnelKeyRow).where(TunnelKeyRow.login == login)).first()
        return to_entity(row, TunnelKey) if row else None

    def add_key(self, key: TunnelKey) -> TunnelKey:
        row = TunnelKeyRow()
        copy_to(row, key)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, TunnelKey)

    def save_key(self, key: TunnelKey) -> None:
        if (row := self._session.get(TunnelKeyRow, key.id)) is not None:
            copy_to(row, key)
            self._session.flush()

    def remove_key(self, key_id: int) -> None:
        self._session.execute(delete(TunnelKeyRow).where(TunnelKeyRow.id == key_id))
