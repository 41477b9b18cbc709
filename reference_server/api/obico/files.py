"""G-code files and their folders (wire-protocol.md §6.5; slicers upload here: rest-decisions.md)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Caller, Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.changes import writable
from reference_server.api.obico.parameters import LARGEST, Blank, IdInBody, One
from reference_server.api.obico.printers import look, shown
from reference_server.api.obico.views import Views
from reference_server.api.responses import Json, empty
from reference_server.api.uploads import receive
from reference_server.media.uploads import GCodeUpload, NotText, TooLarge, keep_thumbnails
from reference_server.realtime.passthru_desk import OFFLINE, Reply
from reference_server.services.errors import Forbidden, Invalid, NotFound
from reference_server.services.files.library import Uploaded
from reference_server.services.model import GCodeFile, GCodeFolder, Scope
from reference_server.services.ports import ANYWHERE, Anywhere, FileQuery, FileSorting

router = APIRouter(prefix="/api/v1", tags=["files"])
log = logging.getLogger(__name__)

PAGE_SIZE, MOST_ON_PAGE = 6, 100


class Top(str, Enum):
    """Words for "in no folder"."""

    ROOT = "root"
    NULL = "null"


Page = Annotated[
    Annotated[int, Field(ge=1, le=1_000_000)] | None, Blank, Query(description="Counted from 1, which is the default.")
]
PageSize = Annotated[
    Annotated[int, Field(ge=1, le=LARGEST)] | None, Blank,
    Query(description=f"{PAGE_SIZE} if absent; at most {MOST_ON_PAGE} are sent."),
]  # fmt: skip
Sorting = Annotated[FileSorting | None, Blank, Query(description="`created_at_desc` if absent.")]
Text = Annotated[str | None, Query(max_length=200, description="Part of the name.")]
Folder = Annotated[
    One | Top | None, Blank, Query(description="What is directly in that folder, or at the `root`; absent: anywhere.")
]
Ids = Annotated[list[IdInBody], Field(min_length=1, max_length=1000)]
FolderId = IdInBody | None


class FileIds(BaseModel):
    g_code_file_ids: Ids


class FileMove(FileIds):
    parent_folder: FolderId = None


class FolderIds(BaseModel):
    folder_ids: Ids


class FolderMove(FolderIds):
    parent_folder: FolderId = None


class NewFolder(BaseModel):
    name: str
    parent_folder: FolderId = None


def _query(
    caller: Caller, page: int | None, page_size: int | None, sorting: FileSorting | None, q: str | None,
    folder: int | Top | None, printer_id: int | None = None,
) -> FileQuery:  # fmt: skip
    size = min(page_size or PAGE_SIZE, MOST_ON_PAGE)
    where: int | Anywhere | None = ANYWHERE if folder is None else None if isinstance(folder, Top) else folder
    return FileQuery(
        caller.user.id, where, printer_id, q or "", sorting or FileSorting.CREATED_DESC,
        start=((page or 1) - 1) * size, limit=size,
    )  # fmt: skip


def _page(request: Request, context: Context, query: FileQuery, total: int, results: Sequence[Any]) -> Response:
    """`{count, next, previous, results}`; a page after the last is a 404, but for the first of nothing."""
    number = query.start // query.limit + 1
    if not results and number > 1:
        raise NotFound("There is no such page.")

    def address(other: int) -> str:
        others = [(key, value) for key, value in request.query_params.multi_items() if key != "page"]
        return f"{context.base(request)}{request.url.path}?{urlencode([*others, ('page', other)])}"

    return Json({
        "count": total,
        "next": address(number + 1) if query.start + query.limit < total else None,
        "previous": address(number - 1) if number > 1 else None,
        "results": results,
    })  # fmt: skip


async def _files(request: Request, context: Context, files: Sequence[GCodeFile]) -> list[dict[str, Any]]:
    prints = await run_in_threadpool(context.library.prints_of, files)
    views = context.views(request)
    return [views.file(file, prints[file.id]) for file in files]


# --- upload --------------------------------------------------------------------------------------------------------


@router.post("/g_code_files/", status_code=201)
async def upload_file(request: Request, context: Services, caller: User_) -> Response:
    """Keep a file on the server; with `print` at once print it on that printer."""
    limit = context.config.upload_limit_mb * 1_000_000
    upload: GCodeUpload | None = None
    try:
        upload = await run_in_threadpool(GCodeUpload, context.media, f"gcodes/{caller.user.id}", limit)
        form = await receive(request, "file", upload)
        if form.filename is None:
            raise Invalid.field("file", "A file is needed.")
        name = (form.fields.get("filename") or form.filename).replace("\\", "/").rpartition("/")[2]
        wants_print = form.fields.get("print", "").strip().lower() in {"true", "t", "1", "yes"}
        chosen = form.fields.get("printer_id", "")
        printer_id = await run_in_threadpool(context.library.printer_for, caller.user, chosen)
        if wants_print:
            if not caller.may(Scope.CONTROL):
                raise Forbidden(f"This API key lacks the scope {Scope.CONTROL.value}: it may upload, but not print.")
            if printer_id is None:
                raise Invalid.field("printer_id", "Which printer is to print it?")
            if context.hub.agent(printer_id) is None:
                return _not_started(OFFLINE, None)
        file = await run_in_threadpool(_keep, context, caller, upload, name, form.fields.get("path", ""))
    except TooLarge:
        return Json({"detail": f"The file is larger than {limit} bytes."}, status_code=413)
    except NotText:
        raise Invalid.field("file", "This is no G-code: the file is not UTF-8 text.") from None
    except OSError as error:
        log.error("a file could not be written: %s; is the disk full?", error.strerror)  # noqa: TRY400
        return Json({"detail": "The file could not be stored."}, status_code=507)
    finally:
        if upload is not None:
            await run_in_threadpool(upload.discard)
    answer = (await _files(request, context, [file]))[0]
    if wants_print and printer_id is not None:
        reply = await _start(request, context, caller, file, printer_id)
        if reply.error is not None:
            return _not_started(reply, answer)
    return Json(answer, status_code=201)


def _not_started(reply: Reply, file: Mapping[str, Any] | None) -> Response:
    """A slicer shows an error's text, and nothing of a success: so not to print is an error, with or without a file."""
    what = "The file was not taken" if file is None else "The file is stored, but not printed"
    return Json({"detail": f"{what}: {reply.error}.", "g_code_file": file}, status_code=409)


def _keep(context: Context, caller: Caller, upload: GCodeUpload, name: str, path: str) -> GCodeFile:
    """Bytes first, row second: whatever is known is there. What no row knows of in the end is taken away again."""
    found = upload.finish()
    paths = [upload.keep(context.random)]
    file: GCodeFile | None = None
    try:
        thumbnails = keep_thumbnails(
            context.media, f"thumbnails/{caller.user.id}", found.thumbnails, context.random
        )  # fmt: skip
        paths.extend(thumbnails)
        file = context.library.add(
            caller.user,
            Uploaded(
                name, path, upload.num_bytes, upload.sha256, paths[0], found.filament_total, found.estimated_time,
                found.to_json(), thumbnails,
            ),
        )  # fmt: skip
    finally:
        if file is None or file.media_path != paths[0]:
            for each in paths:
                context.media.remove(each)
    return file


# --- files -----------------------------------------------------------------------------------------------------------


@router.get("/g_code_files/")
async def list_files(
    request: Request,
    context: Services,
    caller: User_,
    page: Page = None,
    page_size: PageSize = None,
    sorting: Sorting = None,
    q: Text = None,
    parent_folder: Folder = None,
    resident_printer: Annotated[
        One | None, Blank, Query(description="Files that this printer has; absent: files kept on the server.")
    ] = None,
) -> Response:
    query = _query(caller, page, page_size, sorting, q, parent_folder, resident_printer)
    files, total = await run_in_threadpool(context.library.files, query)
    return _page(request, context, query, total, await _files(request, context, files))


@router.get("/g_code_files/{file_id}/")
async def get_file(file_id: Id, request: Request, context: Services, caller: User_) -> Response:
    file = await run_in_threadpool(context.library.file, caller.user, file_id)
    return Json((await _files(request, context, [file]))[0])


@router.patch("/g_code_files/{file_id}/")
@router.put("/g_code_files/{file_id}/")
async def change_file(file_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """`filename`, `parent_folder`; read-only fields may be repeated unchanged."""
    body = await json_object(request)
    file = await run_in_threadpool(context.library.file, caller.user, file_id)
    changes = writable(body, (await _files(request, context, [file]))[0], {"filename", "parent_folder"})
    file = await run_in_threadpool(
        context.library.change_file, caller.user, file_id, _name(changes, "filename"), "parent_folder" in changes,
        _folder_id(changes),
    )  # fmt: skip
    return Json((await _files(request, context, [file]))[0])


def _name(changes: Mapping[str, Any], field: str) -> str | None:
    if field not in changes:
        return None
    if not isinstance(changes[field], str):
        raise Invalid.field(field, "Text is needed.")
    return str(changes[field])


def _folder_id(changes: Mapping[str, Any]) -> int | None:
    value = changes.get("parent_folder")
    if value is not None and (type(value) is not int or not 0 < value <= LARGEST):
        raise Invalid.field("parent_folder", "A folder's id or null is needed.")
    return value


@router.delete("/g_code_files/{file_id}/", status_code=204)
async def delete_file(file_id: Id, context: Services, caller: User_) -> Response:
    await run_in_threadpool(context.library.delete_files, caller.user, [file_id])
    return empty(204)


@router.post("/g_code_files/bulk_delete/", status_code=204)
async def delete_files(wanted: FileIds, context: Services, caller: User_) -> Response:
    """All of them or, if one is not the user's, none."""
    await run_in_threadpool(context.library.delete_files, caller.user, wanted.g_code_file_ids)
    return empty(204)


@router.post("/g_code_files/bulk_move/", status_code=204)
async def move_files(wanted: FileMove, context: Services, caller: User_) -> Response:
    await run_in_threadpool(context.library.move_files, caller.user, wanted.g_code_file_ids, wanted.parent_folder)
    return empty(204)


# --- printing --------------------------------------------------------------------------------------------------------


class PrintOrder(BaseModel):
    printer_id: One | None = Field(None, description="May be absent for a file that is on a printer.")


@router.post("/g_code_files/{file_id}/print/")
async def print_file(
    file_id: Id, request: Request, context: Services, caller: User_, order: PrintOrder | None = None
) -> Response:
    """The printer's agent fetches the file, or takes its own, and prints it. Answers as soon as it says yes or no."""
    file = await run_in_threadpool(context.library.file, caller.user, file_id)
    printer_id = (order.printer_id if order else None) or file.resident_printer_id
    if printer_id is None:
        raise Invalid.field("printer_id", "Which printer is to print it?")
    if file.resident_printer_id not in {None, printer_id}:
        raise Invalid.field("printer_id", "The file is on another printer.")
    reply = await _start(request, context, caller, file, printer_id)
    record = await run_in_threadpool(context.printers.get, caller.user, printer_id)
    return Json({
        "succeeded": reply.error is None, "reason": reply.error, "printer": await shown(request, context, record),
    })  # fmt: skip


async def _start(request: Request, context: Context, caller: Caller, file: GCodeFile, printer_id: int) -> Reply:
    record = await run_in_threadpool(context.printers.get, caller.user, printer_id)
    await look(context, record)
    peer = context.hub.agent(printer_id)
    if peer is None:
        return OFFLINE
    # Links for the agent, by the address at which it has reached us: it may not know the browser's.
    told = context.views_for(peer.base or context.base(request)).file(file)
    if file.resident_printer_id is not None:
        return await context.calls.call(printer_id, "file_operations", "start_printer_local_print", told)
    if file.media_path is None:
        return Reply(error="the server has no copy of the file")
    return await context.calls.call(printer_id, "file_downloader", "download", told)


# --- folders ---------------------------------------------------------------------------------------------------------


async def _folders(context: Context, folders: Sequence[GCodeFolder]) -> list[dict[str, Any]]:
    contents = await run_in_threadpool(context.library.contents_of, folders)
    return [Views.folder(folder, *contents[folder.id]) for folder in folders]


@router.get("/g_code_folders/")
async def list_folders(
    request: Request,
    context: Services,
    caller: User_,
    page: Page = None,
    page_size: PageSize = None,
    sorting: Sorting = None,
    q: Text = None,
    parent_folder: Folder = None,
) -> Response:
    query = _query(caller, page, page_size, sorting, q, parent_folder)
    folders, total = await run_in_threadpool(context.library.folders, query)
    return _page(request, context, query, total, await _folders(context, folders))


@router.post("/g_code_folders/", status_code=201)
async def make_folder(new: NewFolder, context: Services, caller: User_) -> Response:
    """200 if it was there already."""
    folder, is_new = await run_in_threadpool(context.library.make_folder, caller.user, new.name, new.parent_folder)
    return Json((await _folders(context, [folder]))[0], status_code=201 if is_new else 200)


@router.get("/g_code_folders/{folder_id}/")
async def get_folder(folder_id: Id, context: Services, caller: User_) -> Response:
    folder = await run_in_threadpool(context.library.folder, caller.user, folder_id)
    return Json((await _folders(context, [folder]))[0])


@router.patch("/g_code_folders/{folder_id}/")
@router.put("/g_code_folders/{folder_id}/")
async def change_folder(folder_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """`name`, `parent_folder`; read-only fields may be repeated unchanged."""
    body = await json_object(request)
    folder = await run_in_threadpool(context.library.folder, caller.user, folder_id)
    changes = writable(body, (await _folders(context, [folder]))[0], {"name", "parent_folder"})
    folder = await run_in_threadpool(
        context.library.change_folder, caller.user, folder_id, _name(changes, "name"), "parent_folder" in changes,
        _folder_id(changes),
    )  # fmt: skip
    return Json((await _folders(context, [folder]))[0])


@router.delete("/g_code_folders/{folder_id}/", status_code=204)
async def delete_folder(folder_id: Id, context: Services, caller: User_) -> Response:
    """With everything in it."""
    await run_in_threadpool(context.library.delete_folders, caller.user, [folder_id])
    return empty(204)


@router.post("/g_code_folders/bulk_delete/", status_code=204)
async def delete_folders(wanted: FolderIds, context: Services, caller: User_) -> Response:
    await run_in_threadpool(context.library.delete_folders, caller.user, wanted.folder_ids)
    return empty(204)


@router.post("/g_code_folders/bulk_move/", status_code=204)
async def move_folders(wanted: FolderMove, context: Services, caller: User_) -> Response:
    await run_in_threadpool(context.library.move_folders, caller.user, wanted.folder_ids, wanted.parent_folder)
    return empty(204)
