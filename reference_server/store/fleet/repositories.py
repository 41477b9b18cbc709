"""services.fleet.ports on SQLAlchemy; a wing's own rows live in a module of their own beside this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from reference_server.services.errors import Conflict, NotFound
from reference_server.services.fleet import ids
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
from reference_server.services.fleet.ports import Window
from reference_server.services.model import Json, User
from reference_server.services.secrets import RandomBytes
from reference_server.store.fleet.job_repositories import SqlJobs
from reference_server.store.fleet.material_repositories import SqlMaterials
from reference_server.store.fleet.pages import page
from reference_server.store.fleet.print_repositories import SqlFleetPrints, complete_prints
from reference_server.store.fleet.tables import (
    FleetAnswerRow,
    FleetEventRow,
    FleetGroupRow,
    FleetKeyRow,
    FleetPrinterRow,
    InvitationRow,
    MemberRow,
    OrganizationRow,
)
from reference_server.store.fleet.webhook_repositories import SqlHooks
from reference_server.store.mapping import columns_of, copy_to, to_entity
from reference_server.store.tables import PrinterRow, PrintRow, UserRow


class SqlOrganizations:
    def __init__(self, session: Session, random: RandomBytes) -> None:
        self._session, self._random = session, random

    def of_member(self, user_id: int) -> tuple[Organization, Member]:
        row = self._session.get(MemberRow, user_id)
        if row is None:
            row = self._found(user_id)
        organization = self._session.get_one(OrganizationRow, row.organization_id)
        return to_entity(organization, Organization), to_entity(row, Member)

    def _found(self, user_id: int) -> MemberRow:
        user = self._session.get(UserRow, user_id)
        if user is None:
            raise NotFound
        made = OrganizationRow(
            public_id=ids.new_id(ids.ORGANIZATION, self._random), user_id=user_id, name=user.name, currency="USD",
            timezone="UTC", created_at=user.created_at, updated_at=user.created_at,
        )  # fmt: skip
        self._session.add(made)
        self._session.flush()
        member = MemberRow(
            user_id=user_id, public_id=ids.new_id(ids.USER, self._random), organization_id=made.id, role=Role.OWNER,
            created_at=user.created_at,
        )  # fmt: skip
        self._session.add(member)
        self._session.flush()
        return member

    def get(self, organization_id: int) -> Organization | None:
        row = self._session.get(OrganizationRow, organization_id)
        return to_entity(row, Organization) if row else None

    def of_account(self, user_id: int) -> Organization | None:
        row = self._session.scalars(select(OrganizationRow).where(OrganizationRow.user_id == user_id)).first()
        return to_entity(row, Organization) if row else None

    def save(self, organization: Organization) -> None:
        if (row := self._session.get(OrganizationRow, organization.id)) is not None:
            copy_to(row, organization)
            self._session.flush()

    def members(self, organization_id: int) -> Sequence[Member]:
        query = select(MemberRow).where(MemberRow.organization_id == organization_id)
        rows = self._session.scalars(query.order_by(MemberRow.created_at, MemberRow.user_id))
        return [to_entity(row, Member) for row in rows]

    def member(self, public_id: str) -> Member | None:
        row = self._session.scalars(select(MemberRow).where(MemberRow.public_id == public_id)).first()
        return to_entity(row, Member) if row else None

    def people(
        self, organization_id: int, window: Window, role: Role | None = None
    ) -> tuple[Sequence[tuple[Member, User]], int]:
        query = select(MemberRow).join(UserRow, UserRow.id == MemberRow.user_id)
        query = query.where(MemberRow.organization_id == organization_id)
        if role is not None:
            query = query.where(MemberRow.role == role)
        columns = {"created_at": MemberRow.created_at, "name": UserRow.name_key, "email": UserRow.email_key}
        rows, total = page(self._session, query, window, columns, MemberRow.user_id, (("created_at", False),))
        users = select(UserRow).where(UserRow.id.in_([row.user_id for row in rows]))
        known = {row.id: to_entity(row, User) for row in self._session.scalars(users)}
        return [(to_entity(row, Member), known[row.user_id]) for row in rows], total

    def remove_member(self, user_id: int) -> None:
        if (row := self._session.get(MemberRow, user_id)) is not None:
            self._session.delete(row)
            self._session.flush()

    def remove(self, organization_id: int) -> None:
        self._session.execute(delete(OrganizationRow).where(OrganizationRow.id == organization_id))

    def put_member(self, member: Member) -> None:
        row = self._session.get(MemberRow, member.user_id) or MemberRow()
        copy_to(row, member)
        self._session.add(row)
        self._session.flush()

    def add_invitation(self, invitation: Invitation) -> Invitation:
        row = InvitationRow()
        copy_to(row, invitation)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Invitation)

    def invitation(self, token_hash: str) -> Invitation | None:
        row = self._session.scalars(select(InvitationRow).where(InvitationRow.token_hash == token_hash)).first()
        return to_entity(row, Invitation) if row else None

    def invitations(self, organization_id: int) -> Sequence[Invitation]:
        query = select(InvitationRow).where(InvitationRow.organization_id == organization_id)
        return [to_entity(row, Invitation) for row in self._session.scalars(query.order_by(InvitationRow.id))]

    def save_invitation(self, invitation: Invitation) -> None:
        if (row := self._session.get(InvitationRow, invitation.id)) is not None:
            copy_to(row, invitation)
            self._session.flush()

    def remove_invitation(self, invitation_id: int) -> None:
        self._session.execute(delete(InvitationRow).where(InvitationRow.id == invitation_id))


class SqlFleetKeys:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, key: FleetKey) -> FleetKey:
        row = FleetKeyRow()
        copy_to(row, key)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, FleetKey)

    def find(self, key_hash: str) -> FleetKey | None:
        row = self._session.scalars(select(FleetKeyRow).where(FleetKeyRow.key_hash == key_hash)).first()
        return to_entity(row, FleetKey) if row else None

    def get(self, public_id: str) -> FleetKey | None:
        row = self._session.scalars(select(FleetKeyRow).where(FleetKeyRow.public_id == public_id)).first()
        return to_entity(row, FleetKey) if row else None

    def list(self, organization_id: int, window: Window) -> tuple[Sequence[FleetKey], int]:
        table = FleetKeyRow
        query = select(table).where(table.organization_id == organization_id, table.revoked_at.is_(None))
        columns = {"created_at": table.created_at, "name": table.name, "last_used_at": table.last_used_at}
        rows, total = page(self._session, query, window, columns, table.id)
        return [to_entity(row, FleetKey) for row in rows], total

    def save(self, key: FleetKey) -> None:
        if (row := self._session.get(FleetKeyRow, key.id)) is not None:
            copy_to(row, key)
            self._session.flush()

    def revoke_of(self, organization_id: int, user_id: int, now: datetime) -> None:
        mine = (FleetKeyRow.organization_id == organization_id, FleetKeyRow.user_id == user_id)
        self._session.execute(
            update(FleetKeyRow).where(*mine, FleetKeyRow.revoked_at.is_(None)).values(revoked_at=now)
        )


class SqlGroups:
    def __init__(self, session: Session) -> None:
        self._session = session

    def _keep(self, row: FleetGroupRow, group: Group) -> Group:
        copy_to(row, group)
        row.name_key = group.name.casefold()
        self._session.add(row)
        try:
            self._session.flush()
        except IntegrityError:
            raise Conflict(f"There is a group named {group.name} already.") from None
        return to_entity(row, Group)

    def add(self, group: Group) -> Group:
        return self._keep(FleetGroupRow(), group)

    def get(self, public_id: str) -> Group | None:
        row = self._session.scalars(select(FleetGroupRow).where(FleetGroupRow.public_id == public_id)).first()
        return to_entity(row, Group) if row else None

    def all(self, organization_id: int) -> Sequence[Group]:
        query = select(FleetGroupRow).where(FleetGroupRow.organization_id == organization_id)
        return [to_entity(row, Group) for row in self._session.scalars(query.order_by(FleetGroupRow.id))]

    def list(self, organization_id: int, window: Window) -> tuple[Sequence[Group], int]:
        table = FleetGroupRow
        columns = {"created_at": table.created_at, "updated_at": table.updated_at, "name": table.name_key}
        query = select(table).where(table.organization_id == organization_id)
        rows, total = page(self._session, query, window, columns, table.id)
        return [to_entity(row, Group) for row in rows], total

    def save(self, group: Group) -> None:
        if (row := self._session.get(FleetGroupRow, group.id)) is not None:
            self._keep(row, group)

    def remove(self, group_id: int) -> None:
        self._session.execute(delete(FleetGroupRow).where(FleetGroupRow.id == group_id))


class SqlFleetPrinters:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, printer_id: int) -> FleetPrinter | None:
        row = self._session.get(FleetPrinterRow, printer_id)
        return to_entity(row, FleetPrinter) if row else None

    def by_public_id(self, public_id: str) -> FleetPrinter | None:
        row = self._session.scalars(select(FleetPrinterRow).where(FleetPrinterRow.public_id == public_id)).first()
        return to_entity(row, FleetPrinter) if row else None

    def public_ids(self, printer_ids: Collection[int]) -> Mapping[int, str]:
        query = select(FleetPrinterRow.printer_id, FleetPrinterRow.public_id)
        found = self._session.execute(query.where(FleetPrinterRow.printer_id.in_(printer_ids)))
        return {row[0]: row[1] for row in found}

    def of_account(self, user_id: int) -> Sequence[FleetPrinter]:
        query = (
            select(*columns_of(FleetPrinterRow, FleetPrinter))
            .join(PrinterRow, PrinterRow.id == FleetPrinterRow.printer_id)
            .where(
                FleetPrinterRow.user_id == user_id, PrinterRow.archived_at.is_(None), PrinterRow.deleted_at.is_(None)
            )
            .order_by(FleetPrinterRow.printer_id)
        )
        return [FleetPrinter(*row) for row in self._session.execute(query)]

    def told_online(self) -> Sequence[int]:
        return list(self._session.scalars(select(FleetPrinterRow.printer_id).where(FleetPrinterRow.told_online)))

    def save(self, printer: FleetPrinter) -> None:
        if (row := self._session.get(FleetPrinterRow, printer.printer_id)) is not None:
            copy_to(row, printer)
            self._session.flush()


def add_fleet_printer(session: Session, printer: PrinterRow, random: RandomBytes) -> None:
    """A new printer's side in the farm. Its owner has just set it up: its bed counts as clear."""
    session.add(
        FleetPrinterRow(
            printer_id=printer.id, public_id=ids.new_id(ids.PRINTER, random), user_id=printer.user_id,
            updated_at=printer.created_at, model="", location="", group_id=None, tags=(), bed_clear=True,
            auto_continue=False, told_online=False,
        )
    )  # fmt: skip
    session.flush()


def complete(session: Session, random: RandomBytes) -> None:
    """Gives users and printers that came another way (an import, an older version) what the farm needs of them."""
    organizations = SqlOrganizations(session, random)
    for user_id in session.scalars(
        select(UserRow.id).outerjoin(MemberRow, MemberRow.user_id == UserRow.id).where(MemberRow.user_id.is_(None))
    ).all():
        organizations.of_member(user_id)
    known = select(FleetPrinterRow.printer_id)
    missing = session.execute(
        select(PrinterRow.id, PrinterRow.user_id, PrinterRow.created_at).where(PrinterRow.id.not_in(known))
    ).all()
    if missing:
        # Whoever has printed may have left the part where it is.
        used = set(session.scalars(select(PrintRow.printer_id).distinct()))
        session.execute(
            insert(FleetPrinterRow),
            [
                {
                    "printer_id": printer_id, "public_id": ids.new_id(ids.PRINTER, random), "user_id": user_id,
                    "updated_at": created_at, "model": "", "location": "", "group_id": None, "tags": (),
                    "bed_clear": printer_id not in used, "auto_continue": False, "told_online": False,
                }
                for printer_id, user_id, created_at in missing
            ],
        )  # fmt: skip
    complete_prints(session)


class SqlFleetEvents:
    def __init__(self, session: Session, random: RandomBytes) -> None:
        self._session, self._random = session, random

    def emit(self, organization_id: int, name: str, object_id: str, data: Json, now: datetime) -> FleetEvent:
        row = FleetEventRow(
            public_id=ids.new_id(ids.EVENT, self._random), organization_id=organization_id, name=name,
            object_id=object_id, created_at=now.astimezone(timezone.utc), data=dict(data),
        )  # fmt: skip
        self._session.add(row)
        self._session.flush()
        return to_entity(row, FleetEvent)

    def after(self, event_id: int, limit: int) -> Sequence[FleetEvent]:
        query = select(FleetEventRow).where(FleetEventRow.id > event_id).order_by(FleetEventRow.id).limit(limit)
        return [to_entity(row, FleetEvent) for row in self._session.scalars(query)]

    def newest_id(self) -> int:
        return self._session.scalar(select(func.max(FleetEventRow.id))) or 0


class SqlFleetAnswers:
    def __init__(self, session: Session) -> None:
        self._session = session

    def _row(self, credential: str, key: str) -> FleetAnswerRow | None:
        query = select(FleetAnswerRow).where(FleetAnswerRow.credential == credential, FleetAnswerRow.key == key)
        return self._session.scalars(query).first()

    def find(self, credential: str, key: str) -> FleetAnswer | None:
        row = self._row(credential, key)
        return to_entity(row, FleetAnswer) if row else None

    def put(self, answer: FleetAnswer) -> None:
        row = self._row(answer.credential, answer.key) or FleetAnswerRow()
        copy_to(row, answer)
        self._session.add(row)
        self._session.flush()

    def remove_older(self, before: datetime) -> None:
        self._session.execute(delete(FleetAnswerRow).where(FleetAnswerRow.created_at < before))


class SqlFleet:
    """services.fleet.ports.FleetRows."""

    def __init__(self, session: Session, random: RandomBytes) -> None:
        self.organizations = SqlOrganizations(session, random)
        self.keys = SqlFleetKeys(session)
        self.groups = SqlGroups(session)
        self.printers = SqlFleetPrinters(session)
        self.events = SqlFleetEvents(session, random)
        self.answers = SqlFleetAnswers(session)
        self.materials = SqlMaterials(session)
        self.jobs = SqlJobs(session)
        self.hooks = SqlHooks(session)
        self.prints = SqlFleetPrints(session)
