"""Jobs as the OpenAPI document of `/v1` shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from reference_server.api.fleet.schemas import Given, Shown
from reference_server.services.fleet.jobs.model import MOST_COPIES, MOST_RETRIES

JobStatus = Literal["queued", "printing", "completed", "failed", "cancelled"]
PriorityWord = Literal["low", "normal", "high", "urgent"]
AttemptWord = Literal[
    "assigned", "offered", "starting", "printing", "completed", "failed", "cancelled", "returned"
]  # fmt: skip

Copies = Annotated[int, Field(ge=1, le=MOST_COPIES)]
Retries = Annotated[
    int, Field(ge=0, le=MOST_RETRIES, description="How often a copy that failed goes back to the queue by itself.")
]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=50)]], Field(max_length=20)]
Word = Annotated[str, Field(min_length=1, max_length=100)]


class JobFile(Shown):
    name: str | None
    size: Annotated[int | None, Field(description="Bytes.")]
    sha256: str | None
    thumbnail_url: str | None


class JobMaterial(Shown):
    type: str | None
    color: str | None
    estimated_usage: Annotated[float | None, Field(description="Grams of one copy.")]
    estimated_length: Annotated[int | None, Field(description="Millimetres of one copy.")]


class JobCounts(Shown):
    """Where the copies are: each is in one of these."""

    waiting: int
    active: int
    completed: int
    failed: int
    cancelled: int


class AttemptShown(Shown):
    """One try of one copy on one printer."""

    id: Annotated[str, Field(examples=["att_abcdefgh2345"])]
    copy_: Annotated[int, Field(alias="copy", description="Counted from 1.")]
    number: Annotated[int, Field(description="The how-manieth try of that copy.")]
    printer_id: str | None
    state: Annotated[AttemptWord, Field(description="`returned`: it never started; its copy went back to the queue.")]
    print_id: Annotated[int | None, Field(description="The print's id in the Obico API.")]
    reason: str | None
    elapsed_time: Annotated[int | None, Field(description="Seconds, without pauses.")]
    assigned_at: datetime
    offered_at: datetime | None
    permitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class JobShown(Shown):
    id: Annotated[str, Field(examples=["job_abcdefgh2345"])]
    name: str
    status: JobStatus
    priority: PriorityWord
    printer_id: Annotated[str | None, Field(description="Where its newest copy is or was, else where it is to go.")]
    progress: Annotated[int, Field(description="Percent, over all copies.")]
    file_url: Annotated[str | None, Field(description="Where its file may be fetched for an hour or two.")]
    file: JobFile
    estimated_duration: Annotated[int | None, Field(description="Seconds of one copy, as the slicer says.")]
    elapsed_time: Annotated[int, Field(description="Seconds that its copies have printed, without pauses.")]
    material: JobMaterial
    copies: int
    counts: JobCounts
    retries: int
    wanted_printer_id: str | None
    printer_model: str | None
    group: Annotated[str | None, Field(description="The group's name.")]
    group_id: str | None
    tags: list[str]
    printer_tags: Annotated[list[str], Field(description="Those that a printer must have.")]
    waiting_reason: Annotated[str | None, Field(description="Why the next copy waits.")]
    reason: Annotated[str | None, Field(description="Why the last copy failed.")]
    cancelling: Annotated[bool, Field(description="It is to be cancelled, and a copy is still on a printer.")]
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class JobWhole(JobShown):
    attempts: list[AttemptShown]


class _Wishes(Given):
    priority: PriorityWord = "normal"
    printer_id: Annotated[str | None, Field(max_length=20, description="Absent: any printer that fits.")] = None
    printer_model: Word | None = None
    group: Annotated[Word | None, Field(description="A group's id or name.")] = None
    material: Annotated[
        Annotated[str, Field(min_length=1, max_length=50)] | None,
        Field(description="A type that must be loaded, such as PLA."),
    ] = None
    color: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    copies: Copies = 1
    retries: Retries = 0
    tags: Annotated[Tags, Field(description="Labels; those that some printer has narrow the choice.")] = []  # noqa: RUF012
    printer_tags: Annotated[
        Tags | None, Field(description="Tags that a printer must have; absent: those of `tags` that some printer has.")
    ] = None

    @field_validator("tags", "printer_tags", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """In a form: separated by commas."""
        return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


class JobGiven(_Wishes):
    file_url: Annotated[str, Field(min_length=1, max_length=2000, description="http(s); the server fetches it.")]
    name: Annotated[str | None, Field(max_length=200, description="Absent: the file's name.")] = None


class JobForm(_Wishes):
    """The fields beside `file`."""

    as_text: ClassVar[bool] = True

    name: Annotated[str | None, Field(max_length=200)] = None


class JobChange(Given):
    """Only what is given changes; for the copies that still wait."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = ""
    priority: PriorityWord = "normal"
    printer_id: Annotated[str | None, Field(max_length=20)] = None
    printer_model: Word | None = None
    group: Word | None = None
    material: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    color: Annotated[str, Field(min_length=1, max_length=50)] | None = None
    copies: Annotated[Copies, Field(description="May only grow.")] = 1
    retries: Retries = 0
    tags: Tags = []  # noqa: RUF012 - a model's default is copied
    printer_tags: Tags = []  # noqa: RUF012
