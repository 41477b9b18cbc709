"""Printers, and the codes that link them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from reference_server.services.model import Print, Printer, PrinterRecord, VerificationCode
from reference_server.services.secrets import RandomBytes
from reference_server.store.fleet.repositories import add_fleet_printer
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tables import PrinterRow, PrintRow, UserRow, VerificationCodeRow

MOST_VALUES = 500
"""In one question; SQLite takes 999 or more."""


class SqlPrinters:
    def __init__(self, session: Session, sequence: int, random: RandomBytes) -> None:
        self._session, self._random = session, random
        self._sequence = sequence

    def get(self, printer_id: int) -> Printer | None:
        row = self._session.get(PrinterRow, printer_id)
        return to_entity(row, Printer) if row and row.deleted_at is None else None

    def by_token(self, auth_token: str) -> Printer | None:
        query = select(PrinterRow).where(
            PrinterRow.auth_token == auth_token, PrinterRow.deleted_at.is_(None), PrinterRow.archived_at.is_(None)
        )
        row = self._session.scalars(query).first()
        return to_entity(row, Printer) if row else None

    def by_tokens(self, auth_tokens: Sequence[str]) -> Sequence[Printer]:
        query = select(PrinterRow).where(
            PrinterRow.auth_token.in_(auth_tokens), PrinterRow.deleted_at.is_(None), PrinterRow.archived_at.is_(None)
        )
        return [to_entity(row, Printer) for row in self._session.scalars(query)]

    def of_user(self, user_id: int) -> Sequence[Printer]:
        query = select(PrinterRow).where(PrinterRow.user_id == user_id, PrinterRow.deleted_at.is_(None))
        return [to_entity(row, Printer) for row in self._session.scalars(query.order_by(PrinterRow.id))]

    def printing(self) -> Sequence[int]:
        query = select(PrinterRow.id).where(
            PrinterRow.current_print_id.is_not(None), PrinterRow.deleted_at.is_(None), PrinterRow.archived_at.is_(None)
        )
        return list(self._session.scalars(query))

    def add(self, printer: Printer) -> Printer:
        row = PrinterRow()
        copy_to(row, printer)
        self._session.add(row)
        self._session.flush()
        add_fleet_printer(self._session, row, self._random)
        return to_entity(row, Printer)

    def save(self, printer: Printer) -> None:
        if row := self._session.get(PrinterRow, printer.id):
            copy_to(row, printer)
            self._session.flush()

    def record(self, printer: Printer) -> PrinterRecord:
        job = self._session.get(PrintRow, printer.current_print_id) if printer.current_print_id else None
        owner = self._session.get(UserRow, printer.user_id)
        return PrinterRecord(
            printer=printer,
            current_print=to_entity(job, Print) if job and job.deleted_at is None else None,
            dh_balance=owner.dh_balance if owner else None,
            sequence=self._sequence,
        )

    def records(self, printers: Sequence[Printer]) -> Sequence[PrinterRecord]:
        ids = [printer.current_print_id for printer in printers if printer.current_print_id]
        # Held until the end: the session itself forgets rows that nobody holds, and `record` would ask one by one.
        jobs = [
            row
            for begin in range(0, len(ids), MOST_VALUES)
            for row in self._session.scalars(select(PrintRow).where(PrintRow.id.in_(ids[begin : begin + MOST_VALUES])))
        ]
        owners = {number: self._session.get(UserRow, number) for number in {printer.user_id for printer in printers}}
        found = [self.record(printer) for printer in printers]
        del jobs, owners
        return found


class SqlCodes:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, code_id: int) -> VerificationCode | None:
        row = self._session.get(VerificationCodeRow, code_id)
        return to_entity(row, VerificationCode) if row else None

    def valid(self, user_id: int, printer_id: int | None, now: datetime) -> VerificationCode | None:
        query = select(VerificationCodeRow).where(
            VerificationCodeRow.user_id == user_id,
            VerificationCodeRow.printer_id.is_(None)
            if printer_id is None
            else VerificationCodeRow.printer_id == printer_id,
            VerificationCodeRow.expired_at > now,
        )
        row = self._session.scalars(query.order_by(VerificationCodeRow.id.desc())).first()
        return to_entity(row, VerificationCode) if row else None

    def by_code(self, code: str, now: datetime) -> VerificationCode | None:
        table = VerificationCodeRow
        query = select(table).where(table.code == code, table.expired_at > now)
        row = self._session.scalars(query).first()
        return to_entity(row, VerificationCode) if row else None

    def add(self, code: VerificationCode) -> VerificationCode:
        row = VerificationCodeRow()
        copy_to(row, code)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, VerificationCode)

    def save(self, code: VerificationCode) -> None:
        if row := self._session.get(VerificationCodeRow, code.id):
            copy_to(row, code)

    def remove_older(self, before: datetime) -> None:
        self._session.execute(delete(VerificationCodeRow).where(VerificationCodeRow.expired_at < before))
