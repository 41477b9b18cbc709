"""G-code files and their folders, shared printers, registered programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from reference_server.services.errors import Conflict
from reference_server.services.model import GCodeFile, GCodeFolder, OAuthClient, SharedPrinter
from reference_server.services.ports import ANYWHERE, FileQuery
from reference_server.store.file_tables import GCodeFolderRow, OAuthClientRow, SharedPrinterRow
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tables import GCodeFileRow

Entity = TypeVar("Entity")


def _page(
    session: Session, wanted: Select[Any], order: Sequence[Any], query: FileQuery, kind: type[Entity]
) -> tuple[Sequence[Entity], int]:
    total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
    page = wanted.order_by(*order).offset(query.start).limit(query.limit)
    return [to_entity(row, kind) for row in session.scalars(page)], total


class SqlFiles:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, file_id: int) -> GCodeFile | None:
        row = self._session.get(GCodeFileRow, file_id)
        return to_entity(row, GCodeFile) if row and row.deleted_at is None else None

    def of_ids(self, file_ids: Collection[int]) -> Sequence[GCodeFile]:
        query = select(GCodeFileRow).where(GCodeFileRow.id.in_(file_ids), GCodeFileRow.deleted_at.is_(None))
        return [to_entity(row, GCodeFile) for row in self._session.scalars(query)]

    def match(self, user_id: int, printer_id: int, signature: str, safe_filename: str) -> GCodeFile | None:
        query = select(GCodeFileRow).where(
            GCodeFileRow.user_id == user_id,
            GCodeFileRow.agent_signature == signature,
            GCodeFileRow.safe_filename == safe_filename,
            GCodeFileRow.deleted_at.is_(None),
            or_(GCodeFileRow.resident_printer_id == printer_id, GCodeFileRow.resident_printer_id.is_(None)),
        )
        row = self._session.scalars(query.order_by(GCodeFileRow.id)).first()
        return to_entity(row, GCodeFile) if row else None

    def of_user(self, user_id: int) -> Sequence[GCodeFile]:
        query = select(GCodeFileRow).where(GCodeFileRow.user_id == user_id, GCodeFileRow.deleted_at.is_(None))
        return [to_entity(row, GCodeFile) for row in self._session.scalars(query.order_by(GCodeFileRow.id))]

    def find(self, query: FileQuery) -> tuple[Sequence[GCodeFile], int]:
        table = GCodeFileRow
        wanted = select(table).where(table.user_id == query.user_id, table.deleted_at.is_(None))
        if query.printer_id is None:
            wanted = wanted.where(table.resident_printer_id.is_(None))
        else:
            wanted = wanted.where(table.resident_printer_id == query.printer_id)
        if query.folder_id is not ANYWHERE:
            wanted = wanted.where(table.parent_folder_id == query.folder_id)
        if query.text:
            wanted = wanted.where(table.filename.icontains(query.text, autoescape=True))
        columns = {"created_at": table.created_at, "filename": table.filename, "num_bytes": table.num_bytes}
        name, _, way = query.sorting.value.rpartition("_")
        order: list[Any] = [columns[name], table.id]
        if way == "desc":
            order = [each.desc() for each in order]
        return _page(self._session, wanted, order, query, GCodeFile)

    def in_folders(self, folder_ids: Sequence[int]) -> Sequence[GCodeFile]:
        query = select(GCodeFileRow).where(
            GCodeFileRow.parent_folder_id.in_(folder_ids), GCodeFileRow.deleted_at.is_(None)
        )
        return [to_entity(row, GCodeFile) for row in self._session.scalars(query)]

    def same(self, file: GCodeFile) -> GCodeFile | None:
        table = GCodeFileRow
        query = select(table).where(
            table.user_id == file.user_id, table.sha256 == file.sha256, table.filename == file.filename,
            table.parent_folder_id.is_(None) if file.parent_folder_id is None
            else table.parent_folder_id == file.parent_folder_id,
            table.resident_printer_id.is_(None), table.media_path.is_not(None), table.deleted_at.is_(None),
        )  # fmt: skip
        row = self._session.scalars(query.order_by(table.id)).first()
        return to_entity(row, GCodeFile) if row else None

    def count_kept(self, user_id: int) -> int:
        table = GCodeFileRow
        query = select(func.count()).select_from(table).where(
            table.user_id == user_id, table.resident_printer_id.is_(None), table.deleted_at.is_(None)
        )
        return self._session.scalar(query) or 0

    def add(self, file: GCodeFile) -> GCodeFile:
        row = GCodeFileRow()
        copy_to(row, file)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, GCodeFile)

    def save(self, file: GCodeFile) -> None:
        if row := self._session.get(GCodeFileRow, file.id):
            copy_to(row, file)


class SqlFolders:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, folder_id: int) -> GCodeFolder | None:
        row = self._session.get(GCodeFolderRow, folder_id)
        return to_entity(row, GCodeFolder) if row else None

    def named(self, user_id: int, parent_id: int | None, name: str) -> GCodeFolder | None:
        query = select(GCodeFolderRow).where(
            GCodeFolderRow.user_id == user_id, GCodeFolderRow.parent_folder_id == parent_id, GCodeFolderRow.name == name
        )
        row = self._session.scalars(query).first()
        return to_entity(row, GCodeFolder) if row else None

    def find(self, query: FileQuery) -> tuple[Sequence[GCodeFolder], int]:
        table = GCodeFolderRow
        wanted = select(table).where(table.user_id == query.user_id)
        if query.folder_id is not ANYWHERE:
            wanted = wanted.where(table.parent_folder_id == query.folder_id)
        if query.text:
            wanted = wanted.where(table.name.icontains(query.text, autoescape=True))
        name, _, way = query.sorting.value.rpartition("_")
        order: list[Any] = [table.created_at if name == "created_at" else table.name, table.id]
        return _page(
            self._session, wanted, [each.desc() for each in order] if way == "desc" else order, query, GCodeFolder
        )

    def inside(self, folder_id: int) -> Sequence[int]:
        found, wave = [folder_id], [folder_id]
        while wave:
            below = select(GCodeFolderRow.id).where(GCodeFolderRow.parent_folder_id.in_(wave))
            wave = [each for each in self._session.scalars(below) if each not in found]
            found.extend(wave)
        return found

    def count(self, user_id: int) -> int:
        query = select(func.count()).select_from(GCodeFolderRow).where(GCodeFolderRow.user_id == user_id)
        return self._session.scalar(query) or 0

    def contents(self, folder_id: int) -> tuple[int, int]:
        files = select(func.count()).select_from(GCodeFileRow).where(
            GCodeFileRow.parent_folder_id == folder_id, GCodeFileRow.deleted_at.is_(None)
        )
        folders = select(func.count()).select_from(GCodeFolderRow).where(GCodeFolderRow.parent_folder_id == folder_id)
        return self._session.scalar(files) or 0, self._session.scalar(folders) or 0

    def add(self, folder: GCodeFolder) -> GCodeFolder:
        row = GCodeFolderRow()
        copy_to(row, folder)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, GCodeFolder)

    def save(self, folder: GCodeFolder) -> None:
        if row := self._session.get(GCodeFolderRow, folder.id):
            copy_to(row, folder)
            self._session.flush()

    def remove(self, folder_id: int) -> None:
        self._session.execute(delete(GCodeFolderRow).where(GCodeFolderRow.id == folder_id))


class SqlSharedPrinters:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, share_id: int) -> SharedPrinter | None:
        row = self._session.get(SharedPrinterRow, share_id)
        return to_entity(row, SharedPrinter) if row else None

    def of_printer(self, printer_id: int) -> SharedPrinter | None:
        return self._one(SharedPrinterRow.printer_id == printer_id)

    def by_token(self, share_token: str) -> SharedPrinter | None:
        return self._one(SharedPrinterRow.share_token == share_token)

    def _one(self, condition: Any) -> SharedPrinter | None:
        row = self._session.scalars(select(SharedPrinterRow).where(condition)).first()
        return to_entity(row, SharedPrinter) if row else None

    def add(self, share: SharedPrinter) -> SharedPrinter:
        row = SharedPrinterRow()
        copy_to(row, share)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, SharedPrinter)

    def remove(self, share_id: int) -> None:
        self._session.execute(delete(SharedPrinterRow).where(SharedPrinterRow.id == share_id))


class SqlOAuthClients:
    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> Sequence[OAuthClient]:
        query = select(OAuthClientRow).order_by(OAuthClientRow.id)
        return [to_entity(row, OAuthClient) for row in self._session.scalars(query)]

    def by_client_id(self, client_id: str) -> OAuthClient | None:
        row = self._session.scalars(select(OAuthClientRow).where(OAuthClientRow.client_id == client_id)).first()
        return to_entity(row, OAuthClient) if row else None

    def add(self, client: OAuthClient) -> OAuthClient:
        row = OAuthClientRow()
        copy_to(row, client)
        self._session.add(row)
        try:
            self._session.flush()
        except IntegrityError:
            raise Conflict("A program with that client_id is registered already.") from None
        return to_entity(row, OAuthClient)

    def remove(self, row_id: int) -> bool:
        row = self._session.get(OAuthClientRow, row_id)
        if row is not None:
            self._session.delete(row)
        return row is not None
