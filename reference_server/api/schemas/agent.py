"""What agents call (wire-protocol.md §2, §4)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import (
    PLAN_FULL,
    SOME_TEXT,
    Error,
    GCodeFile,
    Object,
    Said,
    VerificationCode,
)
from reference_server.api.schemas.parts import MULTIPART, URLENCODED, Answer, Body, Call, Param
from reference_server.services.model import EventClass, EventKind

FORMS = (MULTIPART, URLENCODED)
"""A JSON object of plain values is taken as well."""
Picture = Annotated[bytes, Field(json_schema_extra={"format": "binary", "contentMediaType": "image/jpeg"})]


Thumbnail = Annotated[bytes, Field(json_schema_extra={"format": "binary", "contentMediaType": "image/png"})]


class AgentUser(Object):
    is_pro: bool


class AgentPrinter(Object):
    id: int
    name: str
    is_pro: bool
    retract_on_pause: float


class OwnPrinter(Object):
    """The agent's own printer."""

    user: AgentUser
    printer: AgentPrinter


class AgentRename(Said):
    """Anything but the name is ignored."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=SOME_TEXT)] = ""


class PictureForm(Said):
    pic: Picture
    is_primary_camera: str = "true"
    camera_name: str = ""
    is_nozzle_camera: str = "false"
    viewing_boost: str = ""


class EventForm(Said):
    event_type: EventKind
    event_class: EventClass = EventClass.INFO
    event_title: str = ""
    event_text: str = ""
    info_url: Annotated[str, Field(pattern=r"^($|https?://)")] = ""
    notify: str = ""
    at: str = ""
    current_print_ts: str = ""
    snapshot: Picture = b""


_Text = Annotated[str, Field(pattern=SOME_TEXT)]


class FileForm(Said):
    filename: _Text
    safe_filename: _Text
    agent_signature: _Text
    url: str = ""
    num_bytes: Annotated[int, Field(ge=0, lt=2**53)] = 0


class FileChange(Said):
    agent_signature: str = ""
    safe_filename: str = ""
    thumbnail: Thumbnail = b""


class Announcement(Said):
    """An agent without a token."""

    device_id: Annotated[str, Field(min_length=1, max_length=64)]
    host_or_ip: Annotated[str, Field(min_length=1)]


class Messages(Said):
    """The last three only for who sends a `one_time_passcode`."""

    messages: list[dict[str, Any]]
    one_time_passcode: str = ""
    one_time_passlink: str = ""
    verification_code: str = ""


class Result(Object):
    result: str


class Muted(Object):
    succeeded: bool
    reason: str | None


class OrderClock(Said):
    now: Annotated[float, Field(ge=0, lt=2**40, description="The agent's clock, Unix seconds.")]


class OrderPermit(Object):
    start: bool
    reason: Annotated[str | None, Field(description="Only with false.")] = None


class OrderResult(Said):
    state: Literal["started", "failed", "unknown"]
    reason: str | None = None
    path: str | None = None


class Nothing(Object):
    """An empty object."""


class BadCode(Object):
    code: list[str]


_OWN = Call(
    "The agent's printer",
    {
        200: Answer(
            "The printer.", OwnPrinter,
            {
                "user": {"is_pro": True},
                "printer": {"id": 1, "name": "Workshop", "is_pro": True, "retract_on_pause": 6.5},
            },
        )
    },
)  # fmt: skip
_OK = Answer("Taken.", Result, {"result": "ok"})
_LINKED = {
    **examples.CODE, "verified_at": examples.CODE["expired_at"],
    "printer": {**examples.PRINTER, "auth_token": "2cf24dba5fb0a30e26e8"},
}  # fmt: skip
_VERIFY = Call(
    "Hand in a code",
    {
        200: Answer("The code's printer, with its token.", VerificationCode, _LINKED),
        400: Answer("No code.", BadCode, {"code": ["This field may not be null."]}),
        402: Answer("No printer more: the operator's plan.", Error, PLAN_FULL),
        404: Answer("No such code.", Error, {"detail": "Requested resource does not exist"}),
    },
    "The six digits that the user sees; good for two hours, and once.",
    params=(
        Param("code", {"type": "string", "minLength": 1, "maxLength": 64, "pattern": SOME_TEXT}, required=True,
              example="042137"),
    ),
    throttled=True,
)  # fmt: skip

CALLS = {
    "GET /api/v1/octo/printer/": _OWN,
    "GET /api/v1/octo/ping/": _OWN,
    "GET /api/v1/octo/printer/ping/": _OWN,
    "PATCH /api/v1/octo/printer/": Call(
        "Rename the agent's printer", _OWN.answers, body=Body(AgentRename, {"name": "Workshop"}, required=False)
    ),
    "POST /api/v1/octo/mute_current_print/": Call(
        "No more alerts in this print",
        {200: Answer("`reason` says why not.", Muted, {"succeeded": True, "reason": None})},
        "Asked for at the printer's own page; an extension of ours.",
    ),
    "POST /api/v1/octo/pic/": Call(
        "The newest picture of a camera",
        {
            200: _OK,
            400: Answer('No JPEG (`["Corrupted image."]`), or none at all (an empty body).'),
            507: Answer("The disk is full.", Error, {"detail": "The picture could not be stored."}),
        },
        body=Body(PictureForm, media=(MULTIPART,)),
        throttled=True,
    ),
    "POST /api/v1/octo/printer_events/": Call(
        "A printer event",
        {200: _OK},
        params=(
            Param("Idempotency-Key", {"type": "string", "maxLength": 200},
                  "A repeat with the same key gets the first answer and does nothing.", "header"),
        ),
        body=Body(EventForm, {"event_type": "FILAMENT_CHANGE", "event_text": "Filament change"}, FORMS),
    ),
    "GET /api/v1/octo/g_code_files/": Call(
        "The user's files", {200: Answer("The files.", list[GCodeFile], [examples.FILE])}
    ),
    "POST /api/v1/octo/g_code_files/": Call(
        "A file that the printer has",
        {
            200: Answer("It was known.", GCodeFile, examples.FILE),
            201: Answer("It is new.", GCodeFile, examples.FILE),
        },
        body=Body(
            FileForm,
            {
                "filename": "clip.gcode", "safe_filename": "clip.gcode", "agent_signature": "ts:1795190000",
                "num_bytes": 281604,
            },
            FORMS,
        ),
    ),
    "PATCH /api/v1/octo/g_code_files/{file_id}/": Call(
        "Change a file's record",
        {
            200: Answer("The file.", GCodeFile, examples.FILE),
            413: Answer("Too large.", Error, {"detail": "The thumbnail is larger than 1048576 bytes."}),
            507: Answer("The disk is full.", Error, {"detail": "The thumbnail could not be stored."}),
        },
        body=Body(FileChange, {"agent_signature": "ts:1795190001"}, FORMS, required=False),
    ),
    "POST /api/v1/octo/orders/{order_id}/start/": Call(
        "May an order of the farm be started?",
        {200: Answer("A yes, or a no with its reason; both are final.", OrderPermit, {"start": True})},
        "An extension of ours (protocol-extensions.md, job_order).",
        body=Body(OrderClock, {"now": 1795190001.5}),
    ),
    "POST /api/v1/octo/orders/{order_id}/result/": Call(
        "What became of an order of the farm",
        {200: Answer("Noted.", Nothing, {})},
        "It may be told twice.",
        body=Body(OrderResult, {"state": "started", "reason": None, "path": "clip.gcode"}),
    ),
    "POST /api/v1/octo/verify/": _VERIFY,
    "GET /api/v1/octo/verify/": _VERIFY,
    "POST /api/v1/octo/unlinked/": Call(
        "An agent announces itself", {200: Answer("Messages for it.", Messages, {"messages": []})},
        body=Body(Announcement, {"device_id": "9f" * 16, "host_or_ip": "192.168.1.20", "port": 46793}),
        throttled=True,
    ),
}  # fmt: skip
