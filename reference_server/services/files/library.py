"""A user's G-code files and folders (wire-protocol.md §6.5): what is known; the bytes are the media folder's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, NotFound
from reference_server.services.model import GCodeFile, GCodeFolder, Json, Print, User
from reference_server.services.ports import FileQuery, Store, Transaction
from reference_server.services.printers import owned
from reference_server.services.text import clean

NAME_LIMIT = 200
FOLDER_DEPTH = 10
FILES_PER_USER, FOLDERS_PER_USER = 10_000, 1_000
PRINTS_SHOWN = 5
"""Newest prints of a file in its `print_set`."""

Thing = TypeVar("Thing", GCodeFile, GCodeFolder)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What came in: `path` is the folder's, with slashes; the rest as in GCodeFile."""

    filename: str
    path: str
    num_bytes: int
    sha256: str
    media_path: str
    filament_total: float | None
    estimated_time: float | None
    details: Json
    thumbnails: tuple[str, ...]


def safe_filename(name: str) -> str:
    """What every file system takes (§6.5: `[^\\w.]` becomes `_`), and never hidden or a way upwards."""
    found = re.sub(r"[^\w.]", "_", name)
    return "_" + found[1:] if found.startswith(".") else found


def checked_name(field: str, value: object) -> str:
    """A name without slashes. Raises Invalid."""
    found = clean(value, NAME_LIMIT + 1).strip() if isinstance(value, str) and "\0" not in value else ""
    if not 1 <= len(found) <= NAME_LIMIT or "/" in found or "\\" in found or found in {".", ".."}:
        raise Invalid.field(field, f"A name of 1 to {NAME_LIMIT} characters without slashes is needed.")
    return found


class GCodeLibrary:
    """`remove_media`: takes files of the media folder away, after the commit that forgot them."""

    def __init__(self, store: Store, now: Now, remove_media: Callable[[str], None]) -> None:
        self._store, self._now, self._remove_media = store, now, remove_media

    # --- files ---------------------------------------------------------------------------------------------------

    def add(self, user: User, new: Uploaded) -> GCodeFile:
        """The new file; if the same bytes are there already under that name, the one that was there: look at
        `media_path`. Raises Invalid, Conflict."""
        name = checked_name("filename", new.filename)
        with self._store.write() as tx:
            now = self._now()
            file = GCodeFile(
                0, user.id, None, name, safe_filename(name), "", None, new.num_bytes, now, now,
                new.filament_total, new.estimated_time, parent_folder_id=self._folder_at(tx, user, new.path),
                media_path=new.media_path, sha256=new.sha256, details=new.details, thumbnails=new.thumbnails,
            )  # fmt: skip
            if (same := tx.files.same(file)) is not None:
                return same
            if tx.files.count_kept(user.id) >= FILES_PER_USER:
                raise Conflict(f"There are {FILES_PER_USER} files already. Delete some that are not needed.")
            return tx.files.add(file)

    def _folder_at(self, tx: Transaction, user: User, path: str) -> int | None:
        """The folder of a path such as `parts/brackets`, made where it is missing."""
        names = [name for name in re.split(r"[/\\]+", path) if name.strip() not in {"", "."}]
        if len(names) > FOLDER_DEPTH:
            raise Invalid.field("path", f"Folders may be nested {FOLDER_DEPTH} deep.")
        parent: int | None = None
        for name in names:
            parent = self._folder_in(tx, user, parent, checked_name("path", name)).id
        return parent

    def files(self, query: FileQuery) -> tuple[Sequence[GCodeFile], int]:
        with self._store.read() as tx:
            return tx.files.find(query)

    def file(self, user: User, file_id: int) -> GCodeFile:
        with self._store.read() as tx:
            return _mine(tx.files.get(file_id), user)

    def prints_of(self, files: Sequence[GCodeFile]) -> dict[int, Sequence[Print]]:
        with self._store.read() as tx:
            return {file.id: tx.prints.of_file(file.id, PRINTS_SHOWN) for file in files}

    def change_file(self, user: User, file_id: int, name: str | None, move: bool, folder_id: int | None) -> GCodeFile:
        """A new name, unless it is None; with `move` into that folder (None: to the top)."""
        with self._store.write() as tx:
            file = _mine(tx.files.get(file_id), user)
            if name is not None:
                name = checked_name("filename", name)
                file = replace(file, filename=name)
                if file.resident_printer_id is None:  # an agent finds its own files by their safe name
                    file = replace(file, safe_filename=safe_filename(name))
            if move:
                self._check_target(tx, user, folder_id)
                file = replace(file, parent_folder_id=folder_id)
            file = replace(file, updated_at=self._now())
            tx.files.save(file)
            return file

    def move_files(self, user: User, file_ids: Sequence[int], folder_id: int | None) -> None:
        """All or, if one is not the user's, none."""
        with self._store.write() as tx:
            self._check_target(tx, user, folder_id)
            for file_id in file_ids:
                file = _mine(tx.files.get(file_id), user)
                tx.files.save(replace(file, parent_folder_id=folder_id, updated_at=self._now()))

    def delete_files(self, user: User, file_ids: Sequence[int]) -> None:
        """All or, if one is not the user's, none."""
        with self._store.write() as tx:
            files = [_mine(tx.files.get(file_id), user) for file_id in dict.fromkeys(file_ids)]
            self._forget(tx, files)
        self._remove(files)

    def _forget(self, tx: Transaction, files: Sequence[GCodeFile]) -> None:
        for file in files:
            tx.files.save(replace(file, deleted_at=self._now(), media_path=None, thumbnails=(), parent_folder_id=None))

    def _remove(self, files: Sequence[GCodeFile]) -> None:
        for file in files:
            for path in (*([file.media_path] if file.media_path else []), *file.thumbnails):
                self._remove_media(path)

    # --- folders -------------------------------------------------------------------------------------------------

    def folders(self, query: FileQuery) -> tuple[Sequence[GCodeFolder], int]:
        with self._store.read() as tx:
            return tx.folders.find(query)

    def folder(self, user: User, folder_id: int) -> GCodeFolder:
        with self._store.read() as tx:
            return _mine(tx.folders.get(folder_id), user)

    def contents_of(self, folders: Sequence[GCodeFolder]) -> dict[int, tuple[int, int]]:
        """How many files and folders are directly in each."""
        with self._store.read() as tx:
            return {folder.id: tx.folders.contents(folder.id) for folder in folders}

    def make_folder(self, user: User, name: str, parent_id: int | None) -> tuple[GCodeFolder, bool]:
        """The folder of that name, and whether it is new."""
        name = checked_name("name", name)
        with self._store.write() as tx:
            self._check_target(tx, user, parent_id)
            found = tx.folders.named(user.id, parent_id, name)
            return (found, False) if found is not None else (self._folder_in(tx, user, parent_id, name), True)

    def _folder_in(self, tx: Transaction, user: User, parent_id: int | None, name: str) -> GCodeFolder:
        if (found := tx.folders.named(user.id, parent_id, name)) is not None:
            return found
        if tx.folders.count(user.id) >= FOLDERS_PER_USER:
            raise Conflict(f"There are {FOLDERS_PER_USER} folders already.")
        now = self._now()
        return tx.folders.add(GCodeFolder(0, user.id, parent_id, name, safe_filename(name), now, now))

    def change_folder(
        self, user: User, folder_id: int, name: str | None, move: bool, parent_id: int | None
    ) -> GCodeFolder:
        with self._store.write() as tx:
            folder = _mine(tx.folders.get(folder_id), user)
            if name is not None:
                name = checked_name("name", name)
                folder = replace(folder, name=name, safe_name=safe_filename(name))
            return self._put(tx, user, folder, parent_id if move else folder.parent_folder_id)

    def move_folders(self, user: User, folder_ids: Sequence[int], parent_id: int | None) -> None:
        with self._store.write() as tx:
            for folder_id in folder_ids:
                self._put(tx, user, _mine(tx.folders.get(folder_id), user), parent_id)

    def _put(self, tx: Transaction, user: User, folder: GCodeFolder, parent_id: int | None) -> GCodeFolder:
        """Save the folder in its place. Raises Conflict: another one has the name; Invalid: into itself, too deep."""
        self._check_target(tx, user, parent_id)
        if parent_id is not None and parent_id in tx.folders.inside(folder.id):
            raise Invalid.field("parent_folder", "A folder cannot be moved into itself.")
        other = tx.folders.named(user.id, parent_id, folder.name)
        if other is not None and other.id != folder.id:
            raise Conflict("There is a folder of that name already.")
        folder = replace(folder, parent_folder_id=parent_id, updated_at=self._now())
        tx.folders.save(folder)
        return folder

    def _check_target(self, tx: Transaction, user: User, folder_id: int | None) -> None:
        """Raises Invalid."""
        depth, above = 0, folder_id
        while above is not None:
            folder = tx.folders.get(above)
            if folder is None or folder.user_id != user.id:
                raise Invalid.field("parent_folder", "There is no such folder.")
            depth, above = depth + 1, folder.parent_folder_id
        if depth >= FOLDER_DEPTH:
            raise Invalid.field("parent_folder", f"Folders may be nested {FOLDER_DEPTH} deep.")

    def delete_folders(self, user: User, folder_ids: Sequence[int]) -> None:
        """With everything in them."""
        files: list[GCodeFile] = []
        with self._store.write() as tx:
            for folder_id in dict.fromkeys(folder_ids):
                _mine(tx.folders.get(folder_id), user)
            for folder_id in dict.fromkeys(folder_ids):
                inside = list(tx.files.in_folders(tx.folders.inside(folder_id)))
                self._forget(tx, inside)
                files.extend(inside)
                tx.folders.remove(folder_id)
        self._remove(files)

    # --- printing ------------------------------------------------------------------------------------------------

    def printer_for(self, user: User, chosen: str) -> int | None:
        """The printer that a slicer names: a number, or `name [id]`; None for an empty text. Raises Invalid."""
        if not chosen.strip():
            return None
        found = re.fullmatch(r"\s*(?:.*\[)?(\d{1,15})\]?\s*", chosen, re.DOTALL)
        with self._store.read() as tx:
            try:
                return owned(tx, user, int(found[1]) if found else 0, archived=False).id
            except NotFound:
                raise Invalid.field("printer_id", "There is no such printer.") from None


def _mine(thing: Thing | None, user: User) -> Thing:
    if thing is None or thing.user_id != user.id:
        raise NotFound
    return thing
