"""The objects of the API, for its documentation (seeds 000-003, rest-decisions.md). Nothing is made of these classes:
api/obico/views.py makes the answers, and the tests hold every answer against them.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from agent_core.wire.messages import CommandName
from reference_server.services.commands import CommandState
from reference_server.services.detection.scoring import Level
from reference_server.services.fleet.model import Role
from reference_server.services.model import ActionOnFailure, AlertOverwrite, EndedReason, EventClass, EventKind, Scope
from reference_server.services.timelapse.model import VideoState

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-20T17:58:39.159942Z"])]
Url = Annotated[str, Field(json_schema_extra={"format": "uri"})]
Number = float


class Object(BaseModel):
    """An object of ours: every field is there in every answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Said(BaseModel):
    """An object of the agent's: every field may be absent or null, and there may be more."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")


SOME_TEXT = r"[^\s\x00]"
"""A pattern: there is something in it besides blanks."""


class Change(BaseModel):
    """The body of a request: no other fields."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class Error(Object):
    """Every refusal."""

    detail: str
    """One readable line."""
    errors: dict[str, list[str]] = Field(default_factory=dict)
    """Only where fields are to blame: field -> what is wrong with it."""


class AgentError(Object):
    """What an agent with an unknown token is told, in the public server's words."""

    error: str
    is_authenticated: str


# --- status and settings: what agents say ----------------------------------------------------------------------------


class StateFlags(Said):
    """The printer's state, flag by flag."""

    operational: bool | None = None
    """The printer is operational."""
    paused: bool | None = None
    """The printer is paused."""
    printing: bool | None = None
    """The printer is printing; true too while it pauses, resumes, finishes and cancels."""
    pausing: bool | None = None
    """The printer is printing and about to pause."""
    resuming: bool | None = None
    finishing: bool | None = None
    cancelling: bool | None = None
    """The printer is printing and about to cancel."""
    sdReady: bool | None = None  # noqa: N815 - the wire's name
    """The printer's SD card is ready."""
    error: bool | None = None
    """A fatal error has occurred."""
    ready: bool | None = None
    """Operational, and nothing is being written to the SD card: ready for instructions."""
    closedOrError: bool | None = None  # noqa: N815 - the wire's name
    """The printer is disconnected, possibly because of an error."""


class State(Said):
    text: str | None = None
    """The state in words, such as Operational or Printing."""
    flags: StateFlags | None = None
    error: Any = None
    """The text of the error that it is in."""


class JobFile(Said):
    name: str | None = None
    """The file's name."""
    path: str | None = None
    obico_g_code_file_id: int | None = None
    """The `id` of the GCodeFile."""


class JobFilament(Said):
    """Needed filament; some agents send it per tool: `{"tool0": {"length", "volume"}}`."""

    length: Number | None = None
    """mm."""
    volume: Number | None = None
    """cm³."""


class Job(Said):
    """The file that is printed."""

    file: JobFile | None = None
    estimatedPrintTime: Number | None = None  # noqa: N815 - the wire's name
    """Estimated print time of the file, in seconds."""
    lastPrintTime: Number | None = None  # noqa: N815 - the wire's name
    """Print time of the file's last print, in seconds."""
    filament: JobFilament | None = None


class TimeLeftOrigin(str, Enum):
    """Where `printTimeLeft` comes from."""

    LINEAR = "linear"
    ANALYSIS = "analysis"
    ESTIMATE = "estimate"
    AVERAGE = "average"
    MIXED_ANALYSIS = "mixed-analysis"
    MIXED_AVERAGE = "mixed-average"


class JobProgress(Said):
    completion: Number | None = None
    """Per cent."""
    filepos: Number | None = None
    """Position in the file, in bytes."""
    printTime: Number | None = None  # noqa: N815 - the wire's name
    """Seconds spent printing, without pauses."""
    printTimeLeft: Number | None = None  # noqa: N815 - the wire's name
    """Estimated seconds left."""
    printTimeLeftOrigin: TimeLeftOrigin | str | None = None  # noqa: N815 - the wire's name
    """How `printTimeLeft` was found; other agents may have other words."""
    filamentUsed: Number | None = None  # noqa: N815 - the wire's name
    """mm."""


class Temperature(Said):
    actual: Number | None = None
    """°C."""
    target: Number | None = None
    """°C; null: no target is set."""
    offset: Number | None = None
    """Offset that is added to targets, in °C."""


class FileDownload(Said):
    """A file on its way to the printer, while the state's text is G-Code Downloading; ours."""

    name: str | None = None
    done: int | None = None
    """Bytes."""
    total: int | None = None
    """Bytes; null: not known."""
    completion: Number | None = None
    """Per cent."""


class PrinterStatus(Said):
    """What the agent said last; kept for 120 s."""

    ts: Number | None = Field(default=None, alias="_ts")
    """Unix seconds."""
    state: State | None = None
    job: Job | None = None
    progress: JobProgress | None = None
    temperatures: dict[str, Temperature] | None = None
    """Heater (tool0, tool1, bed, chamber, or a sensor's own name) -> temperature."""
    currentZ: Number | None = None  # noqa: N815 - the wire's name
    """mm."""
    currentLayerHeight: Number | None = None  # noqa: N815 - the wire's name
    """The number of the layer, despite its name."""
    download: FileDownload | None = None
    file_metadata: dict[str, Any] | None = None


class Webcam(Said):
    """A camera as the agent tells of it."""

    name: str | None = None
    is_primary_camera: bool | None = None
    is_nozzle_camera: bool | None = None
    stream_mode: str | None = None
    flipV: bool | None = None  # noqa: N815 - the wire's name
    flipH: bool | None = None  # noqa: N815 - the wire's name
    rotation: int | None = None
    streamRatio: str | None = None  # noqa: N815 - the wire's name


class PrinterSettings(Object):
    """What the agent told of itself and of its printer. Three lists are text (JSON) with `?compat=1`."""

    webcams: list[Webcam]
    webcam_flipV: bool  # noqa: N815 - the wire's name
    """The (primary) camera's picture is flipped vertically."""
    webcam_flipH: bool  # noqa: N815 - the wire's name
    """The picture is flipped horizontally."""
    webcam_rotation: Annotated[int, Field(json_schema_extra={"enum": [0, 90, 180, 270]})]
    """Degrees, clockwise."""
    webcam_rotate90: bool
    webcam_streamRatio: Annotated[str, Field(examples=["16:9", "4:3"])]  # noqa: N815 - the wire's name
    """4:3 or 16:9."""
    ratio169: bool
    temp_profiles: list[dict[str, Any]]
    """Preset temperatures: a map each, of heater (extruder, bed, chamber) -> °C, with the preset's `name`."""
    agent_name: Annotated[str | None, Field(examples=["octoprint_obico", "moonraker_obico"])]
    """The agent that speaks for the printer."""
    agent_version: str | None
    data_channel_id: int | str | None
    octoprint_version: str | None
    platform_uname: list[str] | str
    installed_plugins: list[str] | str
    printer_metadata: dict[str, Any] | str
    dh_balance: None
    """Always null: the balance is the user's."""
    tsd_plugin_version: str
    """Always empty; old clients read it."""


# --- pictures and commands -------------------------------------------------------------------------------------------


class Picture(Object):
    """The newest picture of a camera."""

    img_url: Url
    """Signed, good for one to two hours; take it anew from each answer."""
    width: int
    height: int
    at: Time


class CameraPicture(Picture):
    name: str
    is_primary_camera: bool
    is_nozzle_camera: bool


class LastCommand(Object):
    """The newest command and what became of it."""

    id: str
    cmd: CommandName
    state: CommandState
    error: str | None
    text: str | None
    """What was really done, in the agent's words."""
    initiator: Annotated[str, Field(examples=["web", "api", "system"])]
    at: Time


# --- printers and prints ---------------------------------------------------------------------------------------------


class BasePrinter(Object):
    """A printer without its live side, as `?expand=printer` shows it."""

    id: int
    """For paths. Read-only."""
    name: str
    created_at: Time
    """Read-only."""
    archived_at: Time | None
    """Read-only; see `archive`."""
    action_on_failure: ActionOnFailure
    """What to do when a failure seems certain: PAUSE or CANCEL (ours) the print, or NONE. An alert is sent in
    any case."""
    watching_enabled: bool
    """The user wants failure detection; see `not_watching_reason`."""
    tools_off_on_pause: bool
    """Switch the tool heaters off in a pause."""
    bed_off_on_pause: bool
    """Switch the bed heater off in a pause."""
    retract_on_pause: Number
    """mm of filament that a pause retracts; 0: none."""
    lift_z_on_pause: Number
    """mm that a pause lifts; 0: none."""
    detective_sensitivity: Number
    """0.8 (lowest) to 1.2 (highest)."""
    min_timelapse_secs_on_finish: int
    """A shorter print gives no time-lapse; -1: never one."""
    min_timelapse_secs_on_cancel: int
    detection_warmup_secs: int
    """The first seconds of a print, which are not judged. Ours."""
    detection_snooze_secs: int
    """Seconds after a resume without alert or action. Ours."""
    auth_token: str | None
    """The agent's credential; null but in GET of this one printer and in the answer to its creation."""
    agent_name: str | None
    agent_version: str | None


class PrintFields(Object):
    """A print job. If a file is printed again, that is another print."""

    id: int
    """For paths. Read-only."""
    filename: str
    """The G-code file's name."""
    started_at: Time
    ended_at: Time | None
    finished_at: Time | None
    """When it ended well; null if it was cancelled."""
    cancelled_at: Time | None
    """When it was cancelled or failed; null if it ended well."""
    ended_reason: EndedReason | None
    """Ours: `error` prints are `cancelled_at` too; `lost`: it ended while nobody told how."""
    error_text: str | None
    uploaded_at: Time | None
    """When a time-lapse video was uploaded by hand."""
    alerted_at: Time | None
    """The last time that a possible failure was detected and alerted."""
    alert_acknowledged_at: Time | None
    """The last time that the user answered an alert."""
    alert_muted_at: Time | None
    """The user has stopped detection for the rest of the print."""
    paused_at: Time | None
    """The last pause by failure detection; null for pauses asked for by people."""
    video_url: Url | None
    """The time-lapse."""
    tagged_video_url: Url | None
    """The time-lapse with detected failures in green boxes."""
    poster_url: Url | None
    """What a video player shows before the video starts."""
    alert_overwrite: AlertOverwrite | None
    """What the user says: FAILED or NOT_FAILED."""
    filament_used: Number | None
    """mm."""
    print_time: Number | None
    """Seconds, without pauses."""
    access_consented_at: Time | None
    video_archived_at: Time | None
    need_alert_overwrite: bool
    need_print_shot_feedback: bool
    prediction_json_url: Url
    """The frame-by-frame detection."""


class FeedbackAnswer(str, Enum):
    LOOKS_BAD = "LOOKS_BAD"
    LOOKS_OK = "LOOKS_OK"
    UNANSWERED = "UNANSWERED"
    UNDECIDED = "UNDECIDED"


class PrintShotFeedback(Object):
    """A frame of a print's video, and whether the user sees a failure in it."""

    id: int
    print_id: int
    image_url: Url | None
    answer: FeedbackAnswer | None
    answered_at: Time | None


class GCodeFile(Object):
    """A G-code file."""

    id: int
    """For paths. Read-only."""
    user: int
    """The owner's id."""
    resident_printer: int | None
    """The printer that has it; null: it is on this server."""
    parent_folder: int | None
    filename: str
    """As it was uploaded."""
    safe_filename: str
    """Safe for any file system."""
    agent_signature: str | None
    url: str | None
    """Where it can be fetched; for a printer's own file the path at its agent."""
    num_bytes: int | None
    sha256: str | None
    """Of a file on this server, in hex."""
    metadata_json: dict[str, Any] | None
    """What the slicer says of it."""
    filament_total: Number | None
    """mm."""
    estimated_time: Number | None
    """Seconds."""
    thumbnail1_url: Url | None
    thumbnail2_url: Url | None
    thumbnail3_url: Url | None
    print_set: list[Print]
    """The newest prints of it."""
    created_at: Time
    updated_at: Time
    deleted: Time | None


class Timelapse(Object):
    """Ours: how far the video of a print is."""

    state: VideoState
    progress: Annotated[float, Field(ge=0, le=1)]
    error: str | None
    """Why there is none, or none yet."""


class PrinterTimelapse(Timelapse):
    """Ours: how far the video of the printer's print `print_id` is."""

    print_id: int


class Print(PrintFields):
    printer: int | BasePrinter
    """The printer's id; with `?expand=printer` the printer."""
    g_code_file: int | GCodeFile | None
    """The file's id; with `?expand=g_code_file` the file."""
    printshotfeedback_set: list[PrintShotFeedback]
    timelapse: Timelapse


class Detection(Object):
    """The last judged picture."""

    detector: str | None
    level: Level
    findings: list[str]
    at: Time | None
    trouble: str | None
    """Why nothing can be judged at present."""


class Printer(BasePrinter):
    """A printer with its live side."""

    not_watching_reason: str | None
    """Why the print is not being watched; null: it is."""
    should_watch: bool
    agent_connected: bool
    online_since: Time | None
    """When the agent's present connection began."""
    last_seen_at: Time | None
    pic: Picture | None
    """The newest picture of the primary camera."""
    cameras: list[CameraPicture]
    status: PrinterStatus | None
    """null: the printer is offline."""
    settings: PrinterSettings
    current_print: Print | None
    """null: idle."""
    normalized_p: Annotated[float, Field(ge=0, le=1)]
    """How sure a failure is: 0 none, 1 as sure as can be."""
    detection: Detection | None
    """null: nothing of this print was judged yet. Ours."""
    last_command: LastCommand | None
    timelapse: PrinterTimelapse | None
    """Ours: the print whose video is being built, or was built last; null: none since the server's start."""


class PrinterChanged(Printer):
    """The printer's own fields, and besides what the public server answers."""

    succeeded: bool
    printer: Printer


class PredictionFields(Said):
    """The detection's state at a frame."""

    current_frame_num: int | None = None
    lifetime_frame_num: int | None = None
    current_p: Number | None = None
    ewm_mean: Number | None = None
    rolling_mean_short: Number | None = None
    rolling_mean_long: Number | None = None
    normalized_p: Number | None = None
    created_at: Time | None = None
    updated_at: Time | None = None


class Prediction(Said):
    """One frame."""

    model: str | None = None
    pk: int | None = None
    fields: PredictionFields | None = None


class PrinterEvent(Object):
    """Something that happened at a printer."""

    id: int
    print: int | None
    """The print's id."""
    printer: int
    """The printer's id."""
    event_type: EventKind
    event_class: EventClass
    event_title: str | None
    event_text: str | None
    image_url: Url | None
    info_url: str | None
    created_at: Time


# --- actions ---------------------------------------------------------------------------------------------------------


class AgentAnswer(Object):
    """What the agent told of a command within two seconds."""

    state: CommandState
    error: str | None
    text: str | None


class Acted(Object):
    succeeded: bool
    """The order was given, which does not say that the printer has obeyed; see `agent` and `last_command`."""
    printer: Printer
    reason: str | None
    """Why not, such as `printer offline` or `nothing is printing`."""


class Commanded(Acted):
    agent: AgentAnswer | None
    """null: the agent has not told."""


# --- accounts --------------------------------------------------------------------------------------------------------


PLAN_FULL = {"detail": "The plan of this server allows 5 printers, and there are 5."}


class User(Object):
    id: int
    name: str
    email: str
    is_owner: bool
    consented_at: Time | None
    """When the user agreed to the terms: at sign-up."""
    dh_balance: Number
    """Detection hours left; accounts without a limit show a large number."""
    is_pro: bool
    unseen_printer_events: int
    role: Role
    """In the organization, whose printers this user sees."""
    organization: str
    """Its name."""


class AuthState(Object):
    setup_needed: bool
    logged_in: bool
    user: User | None


class LoggedIn(Object):
    user: User
    csrf_token: str
    """For the header `X-CSRFToken`."""


class ApiKey(Object):
    id: int
    name: str
    created_at: Time
    last_used_at: Time | None
    """To five minutes."""
    scopes: list[Scope]
    expires_at: Time | None


class NewApiKey(ApiKey):
    key: str
    """Shown this once."""


class VerificationCode(Object):
    """A six-digit code that links an agent."""

    id: int
    printer: Printer | None
    """Set when an agent has used the code."""
    code: Annotated[str, Field(pattern=r"^\d{6}$", examples=["042137"])]
    expired_at: Time
    verified_at: Time | None
