"""A client of the fleet API (`/v1`), blocking and with asyncio. It needs httpx:
`pip install "OctoPrint-Obico[client]"`.

    from reference_server.client import Client

    client = Client(api_key="pf_live_…", base_url="https://farm.example.org")
    for printer in client.printers.list(status="printing"):
        print(printer.name, printer.progress)
    job = client.jobs.create(file="part.gcode", copies=6, priority="high")
    figures = client.analytics.fleet(from_date="2026-10-01", to_date="2026-10-06")

Both values may come from the environment: OBICO_FLEET_KEY and OBICO_FLEET_URL. `AsyncClient` has the same methods, to
be awaited; its lists are looped over with `async for`. Errors are the classes below (FleetError is all of them).
"""

from __future__ import annotations

from reference_server.client.building import UNSET
from reference_server.client.call import AsyncListing, Listing, Page, Pagination
from reference_server.client.clients import AsyncClient, Client
from reference_server.client.errors import (
    ConnectionFailed,
    FileInvalid,
    FleetError,
    InsufficientPermissions,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
    PrinterBusy,
    PrinterOffline,
    QuotaExceeded,
    RateLimitExceeded,
    ResourceNotFound,
    SignatureInvalid,
    UnexpectedAnswer,
)
from reference_server.client.retry import RateLimit, Retry
from reference_server.client.signature import Event, verify_signature

__all__ = [
    "UNSET", "AsyncClient", "AsyncListing", "Client", "ConnectionFailed", "Event", "FileInvalid", "FleetError",
    "InsufficientPermissions", "InternalError", "InvalidApiKey", "InvalidRequest", "Listing", "Page", "Pagination",
    "PrinterBusy", "PrinterOffline", "QuotaExceeded", "RateLimit", "RateLimitExceeded", "ResourceNotFound", "Retry",
    "SignatureInvalid", "UnexpectedAnswer", "verify_signature",
]  # fmt: skip
