"""Telling the server which G-code file is printed (wire-protocol.md §4, g_code_files)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from agent_core.config import AgentConfig
from agent_core.errors import AgentError, ServerTrouble
from agent_core.features.server import answer_object, authorized, endpoint, refusal
from agent_core.model import Job
from agent_core.ports import BodySoFar, Http, HttpRequest, Upload
from agent_core.wire import read

_log = logging.getLogger(__name__)

# A public server answers with every earlier print of the file and grows without bound; its first key is all we want.
_ID = re.compile(rb'^\s*\{\s*"id"\s*:\s*(\d{1,15})\s*[,}]')


def safe_filename(name: str) -> str:
    """As servers compare it (wire-protocol.md §6.5)."""
    return re.sub(r"[^\w.]", "_", name)


OnAnswer = Callable[[int, Mapping[str, str]], None]
"""(the file's id, the answer's headers)"""


def register_file(
    http: Http, config: AgentConfig, job: Job, *, timeout: float = 15.0, on_answer: OnAnswer | None = None
) -> int | None:
    """The server's id of the job's file, made known to it if need be; None if the job lacks a name or signature, or if
    it could not be done, which is logged (a print is tracked without it). Blocks: for a worker.
    """
    try:
        return upsert_file(http, config, job, timeout=timeout, on_answer=on_answer)
    except AgentError as error:
        _log.warning("the server does not know the printed file, so its history will lack it: %s", error)
        return None


def upsert_file(
    http: Http, config: AgentConfig, job: Job, *, timeout: float = 15.0, on_answer: OnAnswer | None = None
) -> int | None:
    """As register_file, but raises the AgentError."""
    name = job.name or (PurePosixPath(job.path).name if job.path else "")
    if not name or not job.signature or config.token is None:
        return None
    form = {
        "filename": name, "safe_filename": safe_filename(name), "num_bytes": str(job.size or 0),
        "agent_signature": job.signature, "url": job.path or name,
    }  # fmt: skip
    response = http.send(
        HttpRequest(
            "POST", endpoint(config, "g_code_files/"), headers=authorized(config.token, config.extra_headers),
            form=form, timeout=timeout, verify_tls=config.verify_tls, until=_id_told,
        )
    )  # fmt: skip
    error = refusal(response, config.server_url)
    if error is not None:
        raise error
    first = _ID.match(response.body)
    found = int(first[1]) if first else read.integer((answer_object(response) or {}).get("id"))
    if found is None:
        raise ServerTrouble(f"the server at {config.server_url} gave the file no id")
    if on_answer is not None:
        on_answer(found, response.headers)
    return found


def tell_signature(
    http: Http, config: AgentConfig, ident: int, signature: str, safe_name: str, *, timeout: float = 15.0
) -> None:
    """How the host signs a file that came from the server (§4, PATCH): its print is then known to be that file's.

    Raises AgentError. Blocks: for a worker.
    """
    patch_file(http, config, ident, {"agent_signature": signature, "safe_filename": safe_name}, timeout=timeout)


def patch_file(
    http: Http,
    config: AgentConfig,
    ident: int,
    form: Mapping[str, str],
    files: Mapping[str, Upload] | None = None,
    *,
    timeout: float = 15.0,
) -> None:
    """Changes the server's record of a file. Raises AgentError."""
    if config.token is None:
        return
    response = http.send(
        HttpRequest(
            "PATCH", endpoint(config, f"g_code_files/{ident}/"), headers=authorized(config.token, config.extra_headers),
            form=form, files=files or {}, timeout=timeout, verify_tls=config.verify_tls, until=_id_told,
        )
    )  # fmt: skip
    error = refusal(response, config.server_url)
    if error is not None:
        raise error


def _id_told(_headers: Mapping[str, str], body: BodySoFar) -> bool:
    return _ID.match(body.piece(0, 100)) is not None
