"""What the farm's services need of a store; `Transaction.fleet` has them all. store/fleet implements it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from reference_server.services.fleet.hooks.ports import HookRows
from reference_server.services.fleet.material_model import LoadedMaterial, Material, MaterialStatus
from reference_server.services.fleet.model import (
    FleetAnswer,
    FleetEvent,
    FleetKey,
    FleetPrinter,
    Group,
    Invitation,
    Member,
    Organization,
    Role,
)
from reference_server.services.fleet.print_ports import FleetPrints
from reference_server.services.model import Json, User

if TYPE_CHECKING:
    from reference_server.services.fleet.jobs.rows import JobRows  # which know this module


@dataclass(frozen=True, slots=True)
class Window:
    """A page of a list: `sort` as (field, descending); ties are broken by id."""

    start: int = 0
    limit: int = 20
    sort: tuple[tuple[str, bool], ...] = ()


class Organizations(Protocol):
    def of_member(self, user_id: int) -> tuple[Organization, Member]:
        """Every user has one, made with the user. Raises NotFound: there is no such user."""

    def get(self, organization_id: int) -> Organization | None: ...
    def of_account(self, user_id: int) -> Organization | None:
        """The one whose printers that user's are."""

    def save(self, organization: Organization) -> None: ...
    def members(self, organization_id: int) -> Sequence[Member]:
        """By the time they came."""

    def member(self, public_id: str) -> Member | None: ...
    def people(
        self, organization_id: int, window: Window, role: Role | None = None
    ) -> tuple[Sequence[tuple[Member, User]], int]: ...
    def put_member(self, member: Member) -> None:
        """Added, or changed."""

    def remove_member(self, user_id: int) -> None:
        """The user has none, until `of_member` makes him one."""

    def remove(self, organization_id: int) -> None:
        """With all that hangs on it."""

    def add_invitation(self, invitation: Invitation) -> Invitation: ...
    def invitation(self, token_hash: str) -> Invitation | None: ...
    def invitations(self, organization_id: int) -> Sequence[Invitation]:
        """Used and expired ones too, by the time they were made."""

    def save_invitation(self, invitation: Invitation) -> None: ...
    def remove_invitation(self, invitation_id: int) -> None: ...


class FleetKeys(Protocol):
    def add(self, key: FleetKey) -> FleetKey: ...
    def find(self, key_hash: str) -> FleetKey | None: ...
    def get(self, public_id: str) -> FleetKey | None: ...
    def list(self, organization_id: int, window: Window) -> tuple[Sequence[FleetKey], int]:
        """Those that are not revoked."""

    def save(self, key: FleetKey) -> None: ...
    def revoke_of(self, organization_id: int, user_id: int, now: datetime) -> None:
        """All that he made there."""


class Groups(Protocol):
    def add(self, group: Group) -> Group:
        """Raises Conflict when the name (in any case) is taken."""

    def get(self, public_id: str) -> Group | None: ...
    def all(self, organization_id: int) -> Sequence[Group]: ...
    def list(self, organization_id: int, window: Window) -> tuple[Sequence[Group], int]: ...
    def save(self, group: Group) -> None:
        """Raises Conflict."""

    def remove(self, group_id: int) -> None:
        """Its printers are in no group then."""


class FleetPrinters(Protocol):
    """Every printer has a row, made with it."""

    def get(self, printer_id: int) -> FleetPrinter | None: ...
    def by_public_id(self, public_id: str) -> FleetPrinter | None: ...
    def public_ids(self, printer_ids: Collection[int]) -> Mapping[int, str]: ...
    def of_account(self, user_id: int) -> Sequence[FleetPrinter]:
        """Neither archived nor deleted, by id."""

    def told_online(self) -> Sequence[int]:
        """Ids of the printers whose last event says so, of all organizations."""

    def save(self, printer: FleetPrinter) -> None: ...


class FleetEvents(Protocol):
    def emit(self, organization_id: int, name: str, object_id: str, data: Json, now: datetime) -> FleetEvent:
        """Written with what it tells, in one transaction."""

    def after(self, event_id: int, limit: int) -> Sequence[FleetEvent]:
        """Those with a greater id, oldest first."""

    def newest_id(self) -> int:
        """0: there has been none. An id is never given a second time."""


class FleetAnswers(Protocol):
    def find(self, credential: str, key: str) -> FleetAnswer | None: ...
    def put(self, answer: FleetAnswer) -> None:
        """Added, or in place of the one for the same credential and key."""

    def remove_older(self, before: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class MaterialFilter:
    """`type` in any case; `q`: a part of type, brand or colour."""

    organization_id: int
    type: str | None = None
    status: MaterialStatus | None = None
    printer_id: int | None = None
    q: str | None = None


class Materials(Protocol):
    def add(self, material: Material) -> Material: ...
    def save(self, material: Material) -> None: ...
    def get(self, public_id: str) -> Material | None: ...
    def by_id(self, material_id: int) -> Material | None: ...
    def count(self, organization_id: int) -> int:
        """Those that are not archived."""

    def list(self, wanted: MaterialFilter, window: Window) -> tuple[Sequence[Material], int]:
        """Those that are not archived."""

    def in_printer(self, printer_id: int) -> Sequence[Material]:
        """By tool."""

    def loaded(self, user_id: int) -> Mapping[int, tuple[LoadedMaterial, ...]]:
        """What is in the printers of an account: by the printer's (Obico) id, then by tool; those with none are not
        in it."""

    def all(self, organization_id: int) -> Sequence[Material]:
        """Archived ones too."""


class FleetRows(Protocol):
    """A wing adds its own here, and to store/fleet/repositories.py."""

    @property
    def organizations(self) -> Organizations: ...
    @property
    def keys(self) -> FleetKeys: ...
    @property
    def groups(self) -> Groups: ...
    @property
    def printers(self) -> FleetPrinters: ...
    @property
    def events(self) -> FleetEvents: ...
    @property
    def answers(self) -> FleetAnswers: ...
    @property
    def materials(self) -> Materials: ...
    @property
    def jobs(self) -> JobRows: ...
    @property
    def hooks(self) -> HookRows: ...
    @property
    def prints(self) -> FleetPrints: ...
