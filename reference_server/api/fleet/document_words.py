"""What the OpenAPI document of `/v1` says beyond types: names for SDK generators, words for parameters, an example of
everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reference_server.api.fleet import groups, jobs, keys, materials, printers, users, webhooks

OPERATIONS = {
    "act": "act_on_printer",
    "invite": "invite_user",
    "audit_log": "list_audit_log",
    "current_key": "get_current_key",
    "create_key": "create_api_key",
    "list_keys": "list_api_keys",
    "revoke_key": "delete_api_key",
    "fleet": "get_fleet_analytics",
    "printer": "get_printer_analytics",
    "jobs": "get_job_analytics",
    "materials": "get_material_analytics",
    "try_webhook": "test_webhook",
    "list_deliveries": "list_webhook_deliveries",
    "redeliver": "redeliver_webhook_delivery",
}
"""The operationId of a route is its function's name, but for these."""

TAGS = {
    "printers": "Printers: what they are and do, and what is done to them.",
    "groups": "Groups of printers.",
    "jobs": "The queue: files, copies, priorities, and what a printer must have for them.",
    "materials": "Spools, what is left on them and where they are loaded.",
    "analytics": "Figures over a period, as JSON, series and CSV.",
    "webhooks": "Events sent to programs of yours, signed and in order.",
    "organization": "The organization, its plan, and who did what.",
    "users": "People, their roles, invitations.",
    "api keys": "Keys for programs.",
}

SORTED_BY: Mapping[str, Iterable[str]] = {
    "list_groups": groups.SORTABLE,
    "list_api_keys": keys.SORTABLE,
    "list_materials": materials.SORTABLE,
    "list_printers": printers.SORTABLE,
    "list_users": users.SORTABLE,
    "list_jobs": jobs.SORTABLE,
    "list_webhooks": webhooks.SORTABLE,
    "list_webhook_deliveries": webhooks.DELIVERIES_SORTABLE,
}
"""By operationId. A list that is not here has one order."""

PARAMETERS = {
    "per_page": "How many on a page.",
    "status": "Only those with this status.",
    "priority": "Only those with this priority.",
    "state": "Only those with this state.",
    "role": "Only those with this role.",
    "Idempotency-Key": "Of your choice, for this one thing: a repeat within 24 hours gets the first answer.",
    "printer_id": "A printer's id, `prt_…`.",
    "group_id": "A group's id, `grp_…`.",
    "job_id": "A job's id, `job_…`.",
    "material_id": "A material's id, `mat_…`.",
    "webhook_id": "A web hook's id, `whk_…`.",
    "delivery_id": "A delivery's id, `dlv_…`.",
    "user_id": "A person's id, `usr_…`.",
    "invitation_id": "An invitation's id, `inv_…`.",
    "key_id": "A key's id, `key_…`.",
}

ERRORS: Mapping[str, Mapping[str, tuple[str, dict[str, Any]]]] = {
    "400": {"invalid_request": ("sort: 'colour' is none of: name, created_at.", {"sort": "'colour' is none of: …"})},
    "401": {"invalid_api_key": ("This API key is unknown or revoked.", {})},
    "402": {"quota_exceeded": ("The plan allows 10 printers.", {"name": "printers", "limit": 10, "used": 10})},
    "403": {"insufficient_permissions": ("This API key lacks the scope jobs:write.", {"required": "jobs:write"})},
    "404": {"resource_not_found": ("There is no such printer.", {})},
    "409": {
        "printer_busy": ("A print is under way on this printer.", {}),
        "printer_offline": ("No agent of this printer is connected.", {}),
        "invalid_request": ("There is a group named production already.", {}),
    },
    "422": {
        "invalid_request": ("copies: Input should be greater than or equal to 1", {"copies": "Input should be …"}),
        "file_invalid": ("There is no movement (G0 to G3) up to its end, line 2.", {"kind": "no_movement", "line": 2}),
    },
    "429": {"rate_limit_exceeded": ("Too many requests.", {})},
    "500": {"internal_error": ("Something went wrong in the server.", {"request_id": "f975fd69c2fdcfae"})},
}
"""Status → code → message and details, as an example."""


def error_examples(status: str) -> dict[str, Any]:
    return {
        code: {"value": {"success": False, "error": {"code": code, "message": message, "details": details}}}
        for code, (message, details) in ERRORS[status].items()
    }


FIELDS: dict[str, Any] = {
    "name": "Prusa-A-01", "model": "Prusa i3 MK3S+", "firmware": "OctoPrint 1.11.8", "status": "printing",
    "state": "Printing", "hotend": 215.0, "bed": 60.0, "actual": 214.8, "target": 215.0, "progress": 45,
    "current_job": "job_abcdefgh2345", "group": "production", "group_id": "grp_abcdefgh2345", "location": "Room 2",
    "printer_id": "prt_abcdefgh2345", "printer": "prt_abcdefgh2345", "type": "PLA", "color": "Black",
    "brand": "Hatchbox", "material": "PLA", "priority": "high", "copies": 6, "reason": None, "email":
    "grace@example.org", "role": "operator", "currency": "EUR", "timezone": "Europe/Berlin", "spool_weight": 1000.0,
    "remaining_weight": 650.0, "cost_per_kg": 20.0, "reorder_threshold": 100.0, "diameter": 1.75, "density": 1.24,
    "tool": 0, "estimated_duration": 7200, "elapsed_time": 3240, "estimated_usage": 45.2, "estimated_length": 15150,
    "file_url": "https://your-cdn.example/model.gcode", "connection_url": "http://192.168.1.105",
    "api_key": "the key of OctoPrint", "server_url": "https://farm.example.org", "printer_model": "Prusa i3 MK3S+",
    "url": "https://your-app.example/webhook", "secret": "a secret of 16 signs at least", "event": "job.completed",
    "object_id": "job_abcdefgh2345", "event_id": "evt_abcdefgh2345", "wanted_printer_id": None,
    "created_by": "usr_abcdefgh2345", "invited_by": "usr_abcdefgh2345", "via": "key shop", "user_name": "ada",
    "address": "192.0.2.7", "action": "pause", "subject": "prt_abcdefgh2345", "key": f"pf_live_{'0' * 64}",
    "sha256": "0" * 64, "thumbnail_url": None, "utilization_rate": 84.4, "success_rate": 96.8, "jobs_completed": 1247,
    "total_print_time": 89234, "material_consumed": 34567.0, "estimated_cost": 691.34, "total_printers": 45,
    "active_printers": 38, "page": 1, "per_page": 20, "total": 45, "total_pages": 3, "waiting_reason": None,
    "link_code": "123456", "disabled_reason": None, "detail": "200 OK", "answer": "ok", "error": None, "seconds": 0.12,
    "electricity_cost_per_kwh": 0.31, "machine_cost_per_hour": 0.5, "average_power_watts": 120.0, "obico_id": 7,
    "print_id": 42, "mail_error": None, "invite_url": "https://farm.example.org/invitation#…", "note": None, "size":
    27_100_000, "limit": None, "failing_since": None, "disabled_at": None, "completed_at": None, "ended_at": None,
    "revoked_at": None, "file": "(the file's bytes)",
}  # fmt: skip
"""What a field of that name shows in examples; whatever does not fit its type there is left to the type."""

LISTS: dict[str, list[Any]] = {
    "tags": ["enclosed", "multi-material"], "printer_tags": ["enclosed"], "scopes": ["printers:read", "jobs:write"],
    "events": ["job.created", "job.completed", "printer.offline", "material.low"],
}  # fmt: skip

WHOLE: dict[str, dict[str, Any]] = {
    "GroupGiven": {"name": "production"},
    "GroupShown": {"id": "grp_abcdefgh2345", "name": "production", "printers": 12},
    "KeyGiven": {"name": "shop", "scopes": ["printers:read", "jobs:write"]},
    "KeyShown": {"name": "shop"},
    "NewKeyShown": {"name": "shop"},
    "PrinterChange": {"group": "production", "tags": ["enclosed"]},
    "MaterialChange": {"remaining_weight": 650.0, "printer_id": "prt_abcdefgh2345"},
    "JobGiven": {
        "file_url": "https://your-cdn.example/model.gcode", "name": "custom-part-v2", "priority": "high",
        "material": "PLA", "copies": 1, "tags": ["production", "order-456"],
    },
    "JobForm": {"file": "(the file's bytes)", "name": "custom-part", "priority": "high"},
    "JobChange": {"priority": "urgent"},
    "JobShown": {"name": "part-001.gcode"},
    "JobWhole": {"name": "part-001.gcode"},
    "WebhookChange": {"enabled": False},
    "OrganizationChange": {"electricity_cost_per_kwh": 0.31},
    "OrganizationShown": {"name": "Ada's printers"},
    "UserChange": {"role": "operator"},
    "UserShown": {"name": "grace"},
}  # fmt: skip
"""By model. Of a body (`…Given`, `…Change`, `…Form`) this is all of the example, of an answer what differs there."""

TIME = "2026-10-06T12:15:00Z"


def example(schemas: Mapping[str, Any], schema: Mapping[str, Any], name: str = "") -> Any:
    """One that fits the schema. `name`: of the field that it is for."""
    if "$ref" in schema:
        title = schema["$ref"].rpartition("/")[2]
        return _model(schemas, title)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        wished = FIELDS.get(name)
        return wished if wished in schema["enum"] else schema["enum"][0]
    choices = schema.get("anyOf")
    if choices:
        if name in FIELDS and FIELDS[name] is None and {"type": "null"} in choices:
            return None
        return example(schemas, next(each for each in choices if each != {"type": "null"}), name)
    return _of_type(schemas, schema, name)


def _of_type(schemas: Mapping[str, Any], schema: Mapping[str, Any], name: str) -> Any:
    kind, wished = schema.get("type"), FIELDS.get(name)
    if kind == "object":
        if "properties" in schema:
            return {field: example(schemas, inner, field) for field, inner in schema["properties"].items()}
        more = schema.get("additionalProperties")
        return {"tool0": example(schemas, more)} if isinstance(more, dict) else {}
    if kind == "array":
        return LISTS.get(name) or [example(schemas, schema.get("items", {}), name)]
    if kind == "string":
        if schema.get("format") == "date-time":
            return TIME
        return wished if isinstance(wished, str) else "text"
    if kind == "boolean":
        return True
    if kind == "integer":
        return wished if type(wished) is int else max(0, schema.get("minimum", 0))
    if kind == "number":
        return wished if isinstance(wished, float) else float(max(0, schema.get("minimum", 0)))
    return None


def _model(schemas: Mapping[str, Any], title: str) -> Any:
    known = WHOLE.get(title)
    if known is not None and title.endswith(("Given", "Change", "Form")):
        return known
    found = example(schemas, schemas[title], title)
    return {**found, **known} if known is not None else found
