"""G-code files and folders."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Change, Error, GCodeFile, Object, Printer, Said, Time, Url
from reference_server.api.schemas.parts import MULTIPART, Answer, Body, Call

FILE: dict[str, Any] = {
    "id": 7, "user": 1, "resident_printer": None, "parent_folder": None, "filename": "clip.gcode",
    "safe_filename": "clip.gcode", "agent_signature": None,
    "url": "http://127.0.0.1:3334/media/gcodes/1/9f9f.gcode?expires=1795284000&digest=9f9f", "num_bytes": 812345,
    "sha256": "9f" * 32, "metadata_json": {"slicer": "PrusaSlicer 2.7.4", "layer_count": 96},
    "filament_total": 2513.4, "estimated_time": 5490.0, "thumbnail1_url": None, "thumbnail2_url": None,
    "thumbnail3_url": None, "print_set": [], "created_at": "2026-11-20T17:58:39.159942Z",
    "updated_at": "2026-11-20T17:58:39.159942Z", "deleted": None,
}  # fmt: skip
FOLDER: dict[str, Any] = {
    "id": 3, "user": 1, "name": "brackets", "safe_name": "brackets", "parent_folder": None, "file_count": 2,
    "folder_count": 0, "created_at": "2026-11-20T17:58:39.159942Z", "updated_at": "2026-11-20T17:58:39.159942Z",
}  # fmt: skip


class GCodeFolder(Object):
    """A folder of files that are kept on the server."""

    id: int
    user: int
    name: str
    safe_name: str
    parent_folder: int | None
    """null: it is at the top."""
    file_count: int
    """Directly in it."""
    folder_count: int
    created_at: Time
    updated_at: Time


class FilePage(Object):
    count: int
    """How many there are in all."""
    next: Url | None
    previous: Url | None
    results: list[GCodeFile]


class FolderPage(Object):
    count: int
    next: Url | None
    previous: Url | None
    results: list[GCodeFolder]


class GCodeUploadForm(Said):
    file: Annotated[bytes, Field(json_schema_extra={"format": "binary"})]
    filename: str = ""
    """Absent: as the file itself is called."""
    path: str = ""
    """The folder, such as `parts/brackets`; made if it is not there."""
    printer_id: str = ""
    """For `print`: a number, or `name [id]` as slicers send it."""
    print: str = ""
    """`true`: print it at once."""


class NotPrinted(Object):
    detail: str
    errors: dict[str, list[str]] = Field(default_factory=dict)
    g_code_file: GCodeFile | None = None
    """The file, if it was stored; sent again it is not stored twice."""


FILE_NAME = r"^[^/\\\x00]*[^/\\\s\x00][^/\\\x00]*$"
"""A pattern: no slashes, and something besides blanks."""


class NewFolder(Said):
    name: Annotated[str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": FILE_NAME})]
    parent_folder: Annotated[int, Field(ge=1, le=2**53)] | None = None


class FileNameChange(Change):
    filename: Annotated[str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": FILE_NAME})] = ""
    parent_folder: Annotated[int, Field(ge=1, le=2**53)] | None = None


class FolderChange(Change):
    name: Annotated[str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": FILE_NAME})] = ""
    parent_folder: Annotated[int, Field(ge=1, le=2**53)] | None = None


class PrintStarted(Object):
    succeeded: bool
    reason: str | None
    """Why not: `printer offline`, or the agent's own words."""
    printer: Printer


_FILE = {200: Answer("The file.", GCodeFile, FILE)}
_FOLDER = {200: Answer("The folder.", GCodeFolder, FOLDER)}
_NO_PAGE = Answer("There is no such page.", Error, {"detail": "There is no such page."})
_ONE_MISSING = Answer("One of them is not the user's: nothing was done.", Error, examples.ERROR)
_TAKEN = Answer("There is a folder of that name.", Error, {"detail": "There is a folder of that name already."})
_CHANGE_FILE = Call(
    "Rename or move a file", _FILE, body=Body(FileNameChange, {"filename": "clip2.gcode"}, required=False)
)  # fmt: skip
_CHANGE_FOLDER = Call(
    "Rename or move a folder", {**_FOLDER, 409: _TAKEN}, body=Body(FolderChange, {"name": "clips"}, required=False)
)  # fmt: skip


def _page(result: Any) -> dict[str, Any]:
    return {"count": 1, "next": None, "previous": None, "results": [result]}


CALLS = {
    "POST /api/v1/g_code_files/": Call(
        "Upload a G-code file, and print it",
        {
            201: Answer("The file.", GCodeFile, FILE),
            409: Answer("Not printed (the file is in the answer, if it was stored), or too many files.", NotPrinted,
                        {"detail": "The file is stored, but not printed: Printer busy!.", "g_code_file": FILE}),
            507: Answer("The disk is full.", Error, {"detail": "The file could not be stored."}),
        },
        body=Body(GCodeUploadForm, media=(MULTIPART,)),
    ),
    "GET /api/v1/g_code_files/": Call(
        "G-code files", {200: Answer("A page of them.", FilePage, _page(FILE)), 404: _NO_PAGE}
    ),
    "GET /api/v1/g_code_files/{file_id}/": Call("One file", _FILE),
    "PATCH /api/v1/g_code_files/{file_id}/": _CHANGE_FILE,
    "PUT /api/v1/g_code_files/{file_id}/": _CHANGE_FILE,
    "DELETE /api/v1/g_code_files/{file_id}/": Call("Delete a file", {204: Answer("Deleted.")}),
    "POST /api/v1/g_code_files/bulk_delete/": Call(
        "Delete several files", {204: Answer("Deleted."), 404: _ONE_MISSING}
    ),
    "POST /api/v1/g_code_files/bulk_move/": Call(
        "Move several files", {204: Answer("Moved."), 404: _ONE_MISSING}
    ),
    "POST /api/v1/g_code_files/{file_id}/print/": Call(
        "Print a file", {200: Answer("What the agent said.", PrintStarted,
                                     {"succeeded": False, "reason": "printer offline", "printer": examples.PRINTER})}
    ),
    "GET /api/v1/g_code_folders/": Call(
        "Folders", {200: Answer("A page of them.", FolderPage, _page(FOLDER)), 404: _NO_PAGE}
    ),
    "POST /api/v1/g_code_folders/": Call(
        "Make a folder",
        {
            **_FOLDER,
            201: Answer("The new folder.", GCodeFolder, FOLDER),
            409: Answer("Too many folders.", Error, {"detail": "There are 1000 folders already."}),
        },
        body=Body(NewFolder, {"name": "clips"}),
    ),
    "GET /api/v1/g_code_folders/{folder_id}/": Call("One folder", _FOLDER),
    "PATCH /api/v1/g_code_folders/{folder_id}/": _CHANGE_FOLDER,
    "PUT /api/v1/g_code_folders/{folder_id}/": _CHANGE_FOLDER,
    "DELETE /api/v1/g_code_folders/{folder_id}/": Call(
        "Delete a folder with all that is in it", {204: Answer("Deleted.")}
    ),
    "POST /api/v1/g_code_folders/bulk_delete/": Call(
        "Delete several folders", {204: Answer("Deleted."), 404: _ONE_MISSING}
    ),
    "POST /api/v1/g_code_folders/bulk_move/": Call(
        "Move several folders", {204: Answer("Moved."), 404: _ONE_MISSING, 409: _TAKEN}
    ),
}  # fmt: skip
