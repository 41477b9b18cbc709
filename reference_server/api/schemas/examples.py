"""Examples of the objects, complete ones: the tests hold them against their schemas."""

from __future__ import annotations

from typing import Any

_AT = "2026-11-20T17:58:39.159942Z"
_SERVER = "http://127.0.0.1:3334"

PRINT: dict[str, Any] = {
    "id": 5, "printer": 1, "g_code_file": 12, "filename": "clip.gcode", "started_at": _AT,
    "ended_at": "2026-11-20T19:31:02.000000Z", "finished_at": "2026-11-20T19:31:02.000000Z", "cancelled_at": None,
    "ended_reason": "done", "error_text": None, "uploaded_at": None, "alerted_at": None, "alert_acknowledged_at": None,
    "alert_muted_at": None, "paused_at": None, "video_url": None, "tagged_video_url": None, "poster_url": None,
    "alert_overwrite": None, "filament_used": 4210.5, "print_time": 5490.0, "access_consented_at": None,
    "video_archived_at": None, "need_alert_overwrite": False, "need_print_shot_feedback": False,
    "prediction_json_url": f"{_SERVER}/api/v1/prints/5/prediction_json/", "printshotfeedback_set": [],
    "timelapse": {"state": "done", "progress": 1.0, "error": None},
}  # fmt: skip

STATUS: dict[str, Any] = {
    "_ts": 1795197519.4,
    "state": {"text": "Printing", "flags": {"operational": True, "printing": True, "paused": False}, "error": None},
    "job": {"file": {"name": "clip.gcode"}},
    "progress": {"completion": 32.4, "filepos": 91234, "printTime": 1800, "printTimeLeft": 3690},
    "temperatures": {
        "tool0": {"actual": 214.8, "target": 215.0, "offset": 0}, "bed": {"actual": 60.0, "target": 60.0, "offset": 0},
    },
    "currentZ": 6.2,
}  # fmt: skip

SETTINGS: dict[str, Any] = {
    "webcams": [], "webcam_flipV": False, "webcam_flipH": False, "webcam_rotation": 0, "webcam_rotate90": False,
    "webcam_streamRatio": "16:9", "ratio169": True, "temp_profiles": [{"name": "PLA", "extruder": 205, "bed": 60}],
    "agent_name": "moonraker_obico", "agent_version": "3.0.0", "data_channel_id": None, "octoprint_version": None,
    "platform_uname": [], "installed_plugins": [], "printer_metadata": {}, "dh_balance": None,
    "tsd_plugin_version": "",
}  # fmt: skip

PRINTER: dict[str, Any] = {
    "id": 1, "name": "Workshop", "created_at": _AT, "archived_at": None, "action_on_failure": "PAUSE",
    "watching_enabled": True, "tools_off_on_pause": True, "bed_off_on_pause": False, "retract_on_pause": 6.5,
    "lift_z_on_pause": 2.5, "detective_sensitivity": 1.0, "min_timelapse_secs_on_finish": 600,
    "min_timelapse_secs_on_cancel": 300, "detection_warmup_secs": 0, "detection_snooze_secs": 0,
    "auth_token": None, "agent_name": "moonraker_obico", "agent_version": "3.0.0",
    "not_watching_reason": "Printer is not actively printing", "should_watch": False, "agent_connected": True,
    "online_since": _AT, "last_seen_at": _AT, "pic": None, "cameras": [], "status": STATUS, "settings": SETTINGS,
    "current_print": None, "normalized_p": 0.0, "detection": None, "last_command": None,
    "timelapse": None,
}  # fmt: skip

FILE: dict[str, Any] = {
    "id": 12, "user": 1, "resident_printer": 1, "parent_folder": None, "filename": "clip.gcode",
    "safe_filename": "clip.gcode", "agent_signature": "ts:1795190000", "url": "clip.gcode", "num_bytes": 281604,
    "sha256": None, "print_set": [], "metadata_json": None,
    "filament_total": 4210.5, "estimated_time": 5400.0, "thumbnail1_url": None,
    "thumbnail2_url": None, "thumbnail3_url": None, "created_at": _AT, "updated_at": _AT, "deleted": None,
}  # fmt: skip

EVENT: dict[str, Any] = {
    "id": 31, "print": 5, "printer": 1, "event_type": "STARTED", "event_class": "INFO",
    "event_title": "Print Job Started", "event_text": "<div>Printer: Workshop</div>", "image_url": None,
    "info_url": None, "created_at": _AT,
}  # fmt: skip

USER: dict[str, Any] = {
    "id": 1, "name": "ada", "email": "ada@example.org", "is_owner": True, "consented_at": _AT, "dh_balance": 1000000,
    "is_pro": True, "unseen_printer_events": 0, "role": "owner", "organization": "ada",
}  # fmt: skip

KEY: dict[str, Any] = {"id": 1, "name": "slicer", "created_at": _AT, "last_used_at": None,
                       "scopes": ["read", "control"], "expires_at": None}  # fmt: skip

CODE: dict[str, Any] = {"id": 7, "printer": None, "code": "042137", "expired_at": _AT, "verified_at": None}

ERROR: dict[str, Any] = {"detail": "Not found."}
INVALID: dict[str, Any] = {
    "detail": "name: A name of 1 to 200 characters is needed.",
    "errors": {"name": ["A name of 1 to 200 characters is needed."]},
}
