"""Second factors, recovery codes, the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, true, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from reference_server.services.audit import AuditEntry
from reference_server.services.second_factor import SecondFactor
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.security_tables import AuditRow, RecoveryCodeRow, SecondFactorRow

KEPT = {True: 10_000, False: 2_000}
"""Entries of the audit log: what was done, and what was refused (which strangers can cause)."""


class SqlSecondFactors:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, user_id: int) -> SecondFactor | None:
        row = self._session.get(SecondFactorRow, user_id)
        return to_entity(row, SecondFactor) if row else None

    def put(self, factor: SecondFactor) -> None:
        row = self._session.get(SecondFactorRow, factor.user_id) or SecondFactorRow()
        copy_to(row, factor)
        self._session.add(row)
        self._session.flush()

    def remove(self, user_id: int) -> None:
        self._session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
        self._session.execute(delete(SecondFactorRow).where(SecondFactorRow.user_id == user_id))

    def set_recovery_codes(self, user_id: int, hashes: Sequence[str]) -> None:
        self._session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
        self._session.add_all([RecoveryCodeRow(user_id=user_id, code_hash=each) for each in hashes])
        self._session.flush()

    def use_recovery_code(self, user_id: int, code_hash: str, now: datetime) -> bool:
        found = self._session.execute(
            update(RecoveryCodeRow)
            .where(
                RecoveryCodeRow.user_id == user_id,
                RecoveryCodeRow.code_hash == code_hash,
                RecoveryCodeRow.used_at.is_(None),
            )
            .values(used_at=now)
        )
        return isinstance(found, CursorResult) and found.rowcount == 1

    def recovery_codes_left(self, user_id: int) -> int:
        query = select(func.count()).where(RecoveryCodeRow.user_id == user_id, RecoveryCodeRow.used_at.is_(None))
        return self._session.scalar(query) or 0


class SqlAudit:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, entry: AuditEntry) -> None:
        row = AuditRow()
        copy_to(row, entry)
        self._session.add(row)
        self._session.flush()
        kind = AuditRow.ok.is_(entry.ok)
        newest = select(AuditRow.id).where(kind).order_by(AuditRow.id.desc()).offset(KEPT[entry.ok] - 1).limit(1)
        oldest_kept = self._session.scalar(newest)
        if oldest_kept is not None:
            self._session.execute(delete(AuditRow).where(kind, AuditRow.id < oldest_kept))

    def newest(self, start: int, limit: int, account_id: int | None = None) -> tuple[Sequence[AuditEntry], int]:
        which = true() if account_id is None else AuditRow.account_id == account_id
        query = select(AuditRow).where(which).order_by(AuditRow.id.desc()).offset(start).limit(limit)
        total = self._session.scalar(select(func.count()).select_from(AuditRow).where(which)) or 0
        return [to_entity(row, AuditEntry) for row in self._session.scalars(query)], total
