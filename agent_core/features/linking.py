"""Linking a printer to its server, and checking that it still is (wire-protocol.md §2.1, §4).

Every failure is an AgentError whose text is one line for the person who links: what is wrong and what to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent_core.config import Secret
from agent_core.errors import AuthRefused, ConfigInvalid, WrongPeer
from agent_core.features.server import answer_object, authorized, refusal
from agent_core.ports import Http, HttpRequest, HttpResponse
from agent_core.wire import read

_NOT_OBICO = "{} answers, but not as an Obico server does; check the server address"
_STALE_CODE = "the server does not know this code: it was mistyped, used already or is over 2 hours old; get a new one"


@dataclass(frozen=True, slots=True)
class Linked:
    token: Secret
    printer_id: int | None
    printer_name: str


@dataclass(frozen=True, slots=True)
class LinkedPrinter:
    """`account_is_pro`: the account may do more on a public server; self-hosted ones say true."""

    id: int | None
    name: str
    account_is_pro: bool = False


def code_digits(text: str) -> str:
    """The six digits of a code as people type it (`042-137`). Raises ConfigInvalid."""
    digits = re.sub(r"[\s\-.\u2010-\u2015]", "", text)
    if not re.fullmatch(r"[0-9]{6}", digits):
        raise ConfigInvalid("the code has six digits; the server's page shows it when you add or re-link a printer")
    return digits


def verify_code(http: Http, server_url: str, code: str, *, verify_tls: bool = True) -> Linked:
    """Trades a six-digit code for the printer's token. A code is good once.

    Raises ConfigInvalid (no code), AuthRefused (unknown, used, expired), WrongPeer, TlsRefused, Unreachable,
    ServerTrouble (throttled: `retry_after`).
    """
    digits = code_digits(code)
    response = http.send(
        HttpRequest(
            "POST", f"{server_url}/api/v1/octo/verify/", query={"code": digits}, verify_tls=verify_tls
        )
    )  # fmt: skip
    if response.status == 400 or (response.status == 404 and _says_unknown(response)):
        raise AuthRefused(_STALE_CODE)
    _raise_refusal(response, server_url)
    printer = read.mapping((answer_object(response) or {}).get("printer")) or {}
    token = read.text(printer.get("auth_token"))
    if not token:
        raise WrongPeer(_NOT_OBICO.format(server_url))
    return Linked(Secret(token), read.integer(printer.get("id")), read.text(printer.get("name")) or "")


def check_token(http: Http, server_url: str, token: Secret, *, verify_tls: bool = True) -> LinkedPrinter:
    """Who we are to the server. Raises AuthRefused (token revoked, printer archived or deleted), WrongPeer, TlsRefused,
    Unreachable, ServerTrouble.
    """
    response = http.send(
        HttpRequest("GET", f"{server_url}/api/v1/octo/printer/", headers=authorized(token), verify_tls=verify_tls)
    )
    _raise_refusal(response, server_url)
    answer = answer_object(response) or {}
    printer = read.mapping(answer.get("printer"))
    if printer is None:
        raise WrongPeer(_NOT_OBICO.format(server_url))
    user = read.mapping(answer.get("user")) or {}
    return LinkedPrinter(
        read.integer(printer.get("id")), read.text(printer.get("name")) or "", user.get("is_pro") is True
    )


def _raise_refusal(response: HttpResponse, server_url: str) -> None:
    error = refusal(response, server_url)
    if error is not None:
        raise error


def _says_unknown(response: HttpResponse) -> bool:
    """Whether a 404 is about the code: web frameworks say `Not Found` where there is no such path at all."""
    detail = read.text((answer_object(response) or {}).get("detail"))
    return detail is not None and detail.rstrip(".").lower() != "not found"
