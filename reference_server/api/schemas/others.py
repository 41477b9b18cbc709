"""Codes, printer events, health, version."""

from __future__ import annotations

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import PLAN_FULL, Error, Object, PrinterEvent, VerificationCode
from reference_server.api.schemas.parts import Answer, Call


class Version(Object):
    name: str
    version: str


class Health(Object):
    status: str


_CODE = {200: Answer("The code.", VerificationCode, examples.CODE)}

CALLS = {
    "GET /api/v1/onetimeverificationcodes/": Call(
        "A code that links an agent",
        {
            **_CODE,
            402: Answer("No printer more: the operator's plan.", Error, PLAN_FULL),
            404: Answer("There is no such printer.", Error, examples.ERROR),
            409: Answer("Too many codes wait to be used.", Error, {"detail": "Too many codes are waiting to be used."}),
        },
        "One object, not a list: the user's unused code, made if there is none; good for two hours.",
    ),
    "GET /api/v1/onetimeverificationcodes/{code_id}/": Call(
        "What became of a code", _CODE, "Ask every 5 s until `verified_at` is set."
    ),
    "GET /api/v1/printer_events/": Call(
        "What happened, newest first",
        {200: Answer("The events.", list[PrinterEvent], [examples.EVENT])},
    ),
    "GET /api/v1/version/": Call(
        "The server's version",
        {200: Answer("Name and version.", Version, {"name": "reference_server", "version": "3.0.0"})},
    ),
    "GET /healthz": Call(
        "Is the server well?",
        {
            200: Answer("It is.", Health, {"status": "ok"}),
            503: Answer("The database cannot be read.", Health, {"status": "the database cannot be read"}),
        },
    ),
}  # fmt: skip
