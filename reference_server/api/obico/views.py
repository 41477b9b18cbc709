"""Entities as the JSON of seeds 002 and 003 (wire-protocol.md §6, rest-decisions.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from reference_server.media.signing import MediaSigner
from reference_server.services import agent_settings
from reference_server.services.commands import CommandOutcome
from reference_server.services.detection.model import Shot
from reference_server.services.fleet.model import Organization, Role
from reference_server.services.live import LiveDetection, LivePrinter, Picture, Timelapse
from reference_server.services.model import (
    ApiKey,
    GCodeFile,
    GCodeFolder,
    Print,
    Printer,
    PrinterEvent,
    PrinterRecord,
    User,
    VerificationCode,
)
from reference_server.services.watching import not_watching_reason, should_watch

UNLIMITED = 1_000_000
"""`dh_balance` of an account without a limit, where a client needs a number."""


def time(value: datetime | None) -> str | None:
    if value is None:
        return None
    return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@dataclass(frozen=True, slots=True)
class Expansion:
    """What `?expand=` nests instead of an id."""

    printers: Mapping[int, Printer] | None = None
    files: Mapping[int, GCodeFile] | None = None
    shots: Mapping[int, Sequence[Shot]] = field(default_factory=dict)  # no choice: every Print shows its own
    timelapses: Mapping[int, Timelapse] | None = None


NOTHING = Expansion()


class Views:
    """`base`: scheme and host that links begin with. `now`: Unix seconds, for links that expire."""

    def __init__(self, signer: MediaSigner, base: str, now: float) -> None:
        self._signer, self._base, self._now = signer, base, now

    def media(self, path: str | None, version: int | None = None) -> str | None:
        return None if path is None else self._base + self._signer.url(path, self._now, version)

    # --- printers ------------------------------------------------------------------------------------------------

    def base_printer(self, printer: Printer) -> dict[str, Any]:
        return {
            "id": printer.id,
            "name": printer.name,
            "created_at": time(printer.created_at),
            "archived_at": time(printer.archived_at),
            "action_on_failure": printer.action_on_failure.value,
            "watching_enabled": printer.watching_enabled,
            "tools_off_on_pause": printer.tools_off_on_pause,
            "bed_off_on_pause": printer.bed_off_on_pause,
            "retract_on_pause": printer.retract_on_pause,
            "lift_z_on_pause": printer.lift_z_on_pause,
            "detective_sensitivity": printer.detective_sensitivity,
            "min_timelapse_secs_on_finish": printer.min_timelapse_secs_on_finish,
            "min_timelapse_secs_on_cancel": printer.min_timelapse_secs_on_cancel,
            "detection_warmup_secs": printer.detection_warmup_secs,
            "detection_snooze_secs": printer.detection_snooze_secs,
            "auth_token": None,
            "agent_name": printer.agent_name,
            "agent_version": printer.agent_version,
        }

    def printer(
        self, record: PrinterRecord, live: LivePrinter | None, *, token: bool = False, compat: bool = False
    ) -> dict[str, Any]:
        """The whole printer; `token`: with its `auth_token`; `compat`: settings in the public server's text form."""
        printer = record.printer
        status = live.status if live is not None else None
        primary = live.primary_picture if live is not None else None
        last = live.commands.last if live is not None else None
        detection = live.detection if live is not None else None
        if detection is not None and detection.tagged is not None and primary is not None:
            primary = detection.tagged if detection.tagged.at >= primary.at else primary
        build = live.timelapse if live is not None else None
        return {
            **self.base_printer(printer),
            "auth_token": printer.auth_token if token else None,
            "not_watching_reason": not_watching_reason(record, status),
            "should_watch": should_watch(record),
            "agent_connected": live.agent_connected if live is not None else False,
            "online_since": time(live.online_since) if live is not None else None,
            "last_seen_at": time(live.last_seen_at) if live is not None else None,
            "pic": self._pic(primary) if primary is not None else None,
            "cameras": [self._camera(picture) for picture in live.pictures.values()] if live is not None else [],
            "status": status,
            "settings": agent_settings.shown(printer, as_text=compat),
            "current_print": self.print(record.current_print) if record.current_print is not None else None,
            "normalized_p": detection.normalized_p if detection is not None else 0.0,
            "detection": self.detection(detection) if detection is not None else None,
            "last_command": self.command(last) if last is not None else None,
            "timelapse": {"print_id": build.print_id, **self._timelapse(build)} if build is not None else None,
        }

    @staticmethod
    def detection(detection: LiveDetection) -> dict[str, Any]:
        return {
            "detector": detection.detector,
            "level": detection.level,
            "findings": list(detection.findings),
            "at": time(detection.at),
            "trouble": detection.trouble,
        }

    def shared_printer(self, record: PrinterRecord, live: LivePrinter) -> dict[str, Any]:
        """What whoever has the link to a shared printer may see (wire-protocol.md §7)."""
        primary, settings = live.primary_picture, agent_settings.shown(record.printer)
        kept = [key for key in settings if key.startswith("webcam") or key == "ratio169"]
        return {
            "name": record.printer.name,
            "pic": self._pic(primary) if primary is not None else None,
            "settings": {key: settings[key] for key in kept},
        }

    def _pic(self, picture: Picture) -> dict[str, Any]:
        version = int(picture.at.timestamp() * 1000)
        return {
            "img_url": self.media(picture.path, version),
            "width": picture.width,
            "height": picture.height,
            "at": time(picture.at),
        }

    @staticmethod
    def _timelapse(timelapse: Timelapse | None) -> dict[str, Any]:
        if timelapse is None:
            return {"state": "none", "progress": 0.0, "error": None}
        return {
            "state": timelapse.state,
            "progress": round(timelapse.progress, 3),
            "error": timelapse.error,
        }

    def _camera(self, picture: Picture) -> dict[str, Any]:
        return {
            "name": picture.camera,
            "is_primary_camera": picture.is_primary,
            "is_nozzle_camera": picture.is_nozzle,
            **self._pic(picture),
        }

    @staticmethod
    def command(outcome: CommandOutcome) -> dict[str, Any]:
        return {
            "id": outcome.id,
            "cmd": outcome.name.value,
            "state": outcome.state.value,
            "error": outcome.error,
            "text": outcome.text,
            "initiator": outcome.initiator,
            "at": time(outcome.at),
        }

    # --- prints --------------------------------------------------------------------------------------------------

    def print(self, job: Print, expand: Expansion = NOTHING) -> dict[str, Any]:
        printer: Any = job.printer_id
        if expand.printers is not None and job.printer_id in expand.printers:
            printer = self.base_printer(expand.printers[job.printer_id])
        file: Any = job.g_code_file_id
        nested = (expand.files or {}).get(job.g_code_file_id or 0)
        if nested is not None:
            file = self.file(nested)
        shots = expand.shots.get(job.id, ())
        return {
            "id": job.id,
            "printer": printer,
            "g_code_file": file,
            "filename": job.filename,
            "started_at": time(job.started_at),
            "ended_at": time(job.ended_at),
            "finished_at": time(job.finished_at),
            "cancelled_at": time(job.cancelled_at),
            "ended_reason": job.ended_reason.value if job.ended_reason else None,
            "error_text": job.error_text,
            "uploaded_at": time(job.uploaded_at),
            "alerted_at": time(job.alerted_at),
            "alert_acknowledged_at": time(job.alert_acknowledged_at),
            "alert_muted_at": time(job.alert_muted_at),
            "paused_at": time(job.paused_at),
            "video_url": self.media(job.video_path),
            "tagged_video_url": self.media(job.tagged_video_path),
            "poster_url": self.media(job.poster_path),
            "alert_overwrite": job.alert_overwrite.value if job.alert_overwrite else None,
            "filament_used": job.filament_used,
            "print_time": job.print_time,
            "access_consented_at": time(job.access_consented_at),
            "video_archived_at": time(job.video_archived_at),
            "need_alert_overwrite": job.alert_overwrite is None and job.tagged_video_path is not None,
            "need_print_shot_feedback": bool(shots) and not any(shot.answer for shot in shots),
            "prediction_json_url": f"{self._base}/api/v1/prints/{job.id}/prediction_json/",
            "printshotfeedback_set": [self.shot(shot) for shot in shots],
            "timelapse": self._timelapse((expand.timelapses or {}).get(job.id)),
        }

    def shot(self, shot: Shot) -> dict[str, Any]:
        return {
            "id": shot.id,
            "print_id": shot.print_id,
            "image_url": self.media(shot.image_path or None),  # old media go, answers stay
            "answer": shot.answer.value if shot.answer else None,
            "answered_at": time(shot.answered_at),
        }

    def event(self, event: PrinterEvent) -> dict[str, Any]:
        return {
            "id": event.id,
            "print": event.print_id,
            "printer": event.printer_id,
            "event_type": event.event_type.value,
            "event_class": event.event_class.value,
            "event_title": event.event_title,
            "event_text": event.event_text,
            "image_url": self.media(event.image_path),
            "info_url": event.info_url,
            "created_at": time(event.created_at),
        }

    def file(self, file: GCodeFile, prints: Sequence[Print] = ()) -> dict[str, Any]:
        """`prints`: the newest of this file."""
        thumbnails = [self.media(path) for path in file.thumbnails] + [None] * 3
        return {
            "id": file.id,
            "user": file.user_id,
            "resident_printer": file.resident_printer_id,
            "parent_folder": file.parent_folder_id,
            "filename": file.filename,
            "safe_filename": file.safe_filename,
            "agent_signature": file.agent_signature or None,
            "url": self.media(file.media_path) if file.media_path is not None else file.url,
            "num_bytes": file.num_bytes,
            "sha256": file.sha256,
            "metadata_json": dict(file.details) if file.details is not None else None,
            "filament_total": file.filament_total,
            "estimated_time": file.estimated_time,
            "thumbnail1_url": thumbnails[0],
            "thumbnail2_url": thumbnails[1],
            "thumbnail3_url": thumbnails[2],
            "print_set": [self.print(job) for job in prints],
            "created_at": time(file.created_at),
            "updated_at": time(file.updated_at),
            "deleted": time(file.deleted_at),
        }

    @staticmethod
    def folder(folder: GCodeFolder, files: int, folders: int) -> dict[str, Any]:
        return {
            "id": folder.id,
            "user": folder.user_id,
            "name": folder.name,
            "safe_name": folder.safe_name,
            "parent_folder": folder.parent_folder_id,
            "file_count": files,
            "folder_count": folders,
            "created_at": time(folder.created_at),
            "updated_at": time(folder.updated_at),
        }

    # --- accounts ------------------------------------------------------------------------------------------------

    @staticmethod
    def user(user: User, account: User, role: Role, organization: Organization) -> dict[str, Any]:
        """`account`: whose printers the organization's are; events and detection hours are counted there."""
        return {
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "is_owner": user.is_owner,
            "consented_at": time(user.consented_at),
            "dh_balance": UNLIMITED if account.dh_balance is None else account.dh_balance,
            "is_pro": True,
            "unseen_printer_events": account.unseen_printer_events,
            "role": role.value,
            "organization": organization.name,
        }

    @staticmethod
    def api_key(key: ApiKey) -> dict[str, Any]:
        return {
            "id": key.id,
            "name": key.name,
            "created_at": time(key.created_at),
            "last_used_at": time(key.last_used_at),
            "scopes": [scope.value for scope in key.scopes],
            "expires_at": time(key.expires_at),
        }

    @staticmethod
    def code(code: VerificationCode, printer: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "id": code.id,
            "printer": printer,
            "code": code.code,
            "expired_at": time(code.expired_at),
            "verified_at": time(code.verified_at),
        }
