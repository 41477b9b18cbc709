"""`/o/authorize`: a desktop program obtains an API key (rest-decisions.md). The page is static; it asks these calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Caller, Id, Services, User_
from reference_server.api.obico.views import time
from reference_server.api.pages import page
from reference_server.api.responses import Json, empty
from reference_server.services.errors import Forbidden
from reference_server.services.model import OAuthClient
from reference_server.services.oauth import ORCA_SLICER, SCOPES

router = APIRouter()

Word = Annotated[str, Field(max_length=500)]


class Asking(BaseModel):
    response_type: Word = ""
    client_id: Word = ""
    redirect_uri: Word = ""
    state: Word = ""


class NewClient(BaseModel):
    client_id: str
    name: str
    redirect_uris: list[str] = Field(max_length=100)


@router.get("/o/authorize", include_in_schema=False)
@router.get("/o/authorize/", include_in_schema=False)
async def authorize() -> Response:
    return await run_in_threadpool(page, "authorize.html")


def _check_person(caller: Caller) -> None:
    if not caller.by_cookie:
        raise Forbidden("Only a person who is logged in can agree to that.")


@router.get("/api/v1/oauth/request/", tags=["accounts"])
async def look(
    context: Services,
    caller: User_,
    response_type: Annotated[str, Query(max_length=500)] = "",
    client_id: Annotated[str, Query(max_length=500)] = "",
    redirect_uri: Annotated[str, Query(max_length=500)] = "",
    state: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """What the page shows before it asks."""
    asked = await run_in_threadpool(context.oauth.check, response_type, client_id, redirect_uri, state)
    return Json({
        "client_id": asked.client.client_id, "name": asked.client.name, "redirect_uri": asked.redirect_uri,
        "scopes": [scope.value for scope in SCOPES], "user": caller.person.name,
    })  # fmt: skip


@router.post("/api/v1/oauth/grant/", tags=["accounts"])
async def grant(wanted: Asking, context: Services, caller: User_) -> Response:
    """The person agrees: a new API key, and where to send the browser with it."""
    _check_person(caller)
    asked = await run_in_threadpool(
        context.oauth.check, wanted.response_type, wanted.client_id, wanted.redirect_uri, wanted.state
    )
    granted = await run_in_threadpool(context.oauth.grant, caller.person, asked)
    return Json({"access_token": granted.key, "token_type": "Bearer", "redirect_to": granted.redirect_to})


def _shown(client: OAuthClient) -> dict[str, object]:
    return {
        "id": client.id or None, "client_id": client.client_id, "name": client.name,
        "redirect_uris": list(client.redirect_uris), "created_at": time(client.created_at) if client.id else None,
    }  # fmt: skip


@router.get("/api/v1/oauth/clients/", tags=["accounts"])
async def list_clients(context: Services, caller: User_) -> Response:  # noqa: ARG001 - users only
    """The programs that may ask; those without an id are built in."""
    return Json([_shown(client) for client in (ORCA_SLICER, *await run_in_threadpool(context.oauth.clients))])


@router.post("/api/v1/oauth/clients/", status_code=201, tags=["accounts"])
async def register(new: NewClient, context: Services, caller: User_) -> Response:
    """The owner lets a program ask."""
    client = await run_in_threadpool(
        context.oauth.register, caller.person, new.client_id, new.name, new.redirect_uris
    )  # fmt: skip
    return Json(_shown(client), status_code=201)


@router.delete("/api/v1/oauth/clients/{row_id}/", status_code=204, tags=["accounts"])
async def forget(row_id: Id, context: Services, caller: User_) -> Response:
    """It may not ask any more; keys that it has got stay good until their users delete them."""
    await run_in_threadpool(context.oauth.forget, caller.person, row_id)
    return empty(204)
