"""Video jobs, and what the retention of media needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from reference_server.services.model import Print
from reference_server.services.timelapse.model import VideoJob, VideoState
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.notice_tables import NoticeRow
from reference_server.store.tables import PrinterEventRow, PrinterRow, PrintRow
from reference_server.store.timelapse_tables import VideoJobRow

_OPEN = (VideoState.QUEUED, VideoState.BUILDING)


class SqlVideoJobs:
    def __init__(self, session: Session) -> None:
        self._session = session

    def of_print(self, print_id: int) -> VideoJob | None:
        row = self._session.scalars(select(VideoJobRow).where(VideoJobRow.print_id == print_id)).first()
        return to_entity(row, VideoJob) if row else None

    def of_prints(self, print_ids: Sequence[int]) -> Sequence[VideoJob]:
        rows = self._session.scalars(select(VideoJobRow).where(VideoJobRow.print_id.in_(print_ids)))
        return [to_entity(row, VideoJob) for row in rows]

    def next(self, now: datetime) -> VideoJob | None:
        query = select(VideoJobRow).where(VideoJobRow.state.in_(_OPEN), VideoJobRow.not_before <= now)
        row = self._session.scalars(query.order_by(VideoJobRow.not_before, VideoJobRow.id)).first()
        return to_entity(row, VideoJob) if row else None

    def put(self, job: VideoJob) -> None:
        row = self._session.get(VideoJobRow, job.id) if job.id else None
        if row is None:
            row = VideoJobRow()
            self._session.add(row)
        copy_to(row, job)
        self._session.flush()

    def remove(self, job_id: int) -> None:
        self._session.execute(delete(VideoJobRow).where(VideoJobRow.id == job_id))


class SqlMedia:
    def __init__(self, session: Session) -> None:
        self._session = session

    def kept(self) -> Sequence[Print]:
        """Prints that are over and have media of their own, oldest first."""
        pictured = select(PrinterEventRow.print_id).where(PrinterEventRow.image_path.is_not(None))
        query = select(PrintRow).where(
            PrintRow.deleted_at.is_(None),
            or_(PrintRow.finished_at.is_not(None), PrintRow.cancelled_at.is_not(None)),
            or_(
                PrintRow.video_path.is_not(None), PrintRow.tagged_video_path.is_not(None),
                PrintRow.poster_path.is_not(None), PrintRow.id.in_(pictured),
            ),
        )  # fmt: skip
        return [to_entity(row, Print) for row in self._session.scalars(query.order_by(PrintRow.id))]

    def running(self) -> Sequence[int]:
        """The current prints of all printers."""
        query = select(PrinterRow.current_print_id).where(
            PrinterRow.current_print_id.is_not(None), PrinterRow.deleted_at.is_(None)
        )
        return [found for found in self._session.scalars(query) if found is not None]

    def unfinished(self) -> Sequence[int]:
        """Prints whose pictures still have a job."""
        return list(self._session.scalars(select(VideoJobRow.print_id).where(VideoJobRow.state.in_(_OPEN))))

    def failed_since(self, since: datetime) -> Sequence[int]:
        """Prints whose video failed, after `since`."""
        query = select(VideoJobRow.print_id).where(VideoJobRow.state == VideoState.FAILED)
        return list(self._session.scalars(query.where(VideoJobRow.ended_at >= since)))

    def printer_ids(self) -> Sequence[int]:
        """Those that are not deleted."""
        return list(self._session.scalars(select(PrinterRow.id).where(PrinterRow.deleted_at.is_(None))))

    def print_ids(self) -> Sequence[int]:
        """Those that are not deleted."""
        return list(self._session.scalars(select(PrintRow.id).where(PrintRow.deleted_at.is_(None))))

    def event_images(self, print_id: int) -> Sequence[str]:
        query = select(PrinterEventRow.image_path).where(
            PrinterEventRow.print_id == print_id, PrinterEventRow.image_path.is_not(None)
        )
        return [path for path in self._session.scalars(query) if path is not None]

    def images(self, notices_since: datetime) -> Sequence[str]:
        """Every picture that an event shows, or a notice of after `notices_since`."""
        shown = select(PrinterEventRow.image_path).where(PrinterEventRow.image_path.is_not(None))
        told = select(NoticeRow.image_path).where(
            NoticeRow.image_path.is_not(None), NoticeRow.created_at >= notices_since
        )
        return [path for query in (shown, told) for path in self._session.scalars(query) if path is not None]

    def forget_images_before(self, when: datetime) -> Sequence[str]:
        """Events that belong to no print show no picture any more if they are older; the paths."""
        wanted = (
            PrinterEventRow.print_id.is_(None),
            PrinterEventRow.image_path.is_not(None),
            PrinterEventRow.created_at < when,
        )
        paths = [path for path in self._session.scalars(select(PrinterEventRow.image_path).where(*wanted)) if path]
        self._session.execute(update(PrinterEventRow).where(*wanted).values(image_path=None))
        return paths

    def archive(self, print_id: int, now: datetime) -> None:
        """The print and its events show no media any more."""
        self._session.execute(
            update(PrintRow)
            .where(PrintRow.id == print_id)
            .values(video_path=None, tagged_video_path=None, poster_path=None, video_archived_at=now)
        )
        self._session.execute(
            update(PrinterEventRow).where(PrinterEventRow.print_id == print_id).values(image_path=None)
        )
