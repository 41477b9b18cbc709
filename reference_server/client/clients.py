"""The two clients: the same resources, by blocking or by asyncio."""

from __future__ import annotations

import os
from types import TracebackType

import httpx

from reference_server.client import office, resources
from reference_server.client.call import AsyncResource, SyncResource
from reference_server.client.request import DEFAULT_PATIENCE, Requests
from reference_server.client.retry import DEFAULT_RETRY, RateLimit, Retry
from reference_server.client.transport import AsyncTransport, SyncTransport

URL_VARIABLE, KEY_VARIABLE = "OBICO_FLEET_URL", "OBICO_FLEET_KEY"


class Printers(SyncResource, resources.Printers): ...


class Groups(SyncResource, resources.Groups): ...


class Jobs(SyncResource, resources.Jobs): ...


class Materials(SyncResource, resources.Materials): ...


class Analytics(SyncResource, resources.Analytics): ...


class Webhooks(SyncResource, office.Webhooks): ...


class Organization(SyncResource, office.Organization): ...


class Users(SyncResource, office.Users): ...


class ApiKeys(SyncResource, office.ApiKeys): ...


class Audit(SyncResource, office.Audit): ...


class AsyncPrinters(AsyncResource, resources.Printers): ...


class AsyncGroups(AsyncResource, resources.Groups): ...


class AsyncJobs(AsyncResource, resources.Jobs): ...


class AsyncMaterials(AsyncResource, resources.Materials): ...


class AsyncAnalytics(AsyncResource, resources.Analytics): ...


class AsyncWebhooks(AsyncResource, office.Webhooks): ...


class AsyncOrganization(AsyncResource, office.Organization): ...


class AsyncUsers(AsyncResource, office.Users): ...


class AsyncApiKeys(AsyncResource, office.ApiKeys): ...


class AsyncAudit(AsyncResource, office.Audit): ...


def _requests(api_key: str | None, base_url: str | None, timeout: float) -> Requests:
    key, url = api_key or os.environ.get(KEY_VARIABLE), base_url or os.environ.get(URL_VARIABLE)
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError(f"An API key is needed: api_key=…, or the environment's {KEY_VARIABLE}.")
    if not url:
        raise ValueError(f"The server's address is needed: base_url=…, or the environment's {URL_VARIABLE}.")
    return Requests(url, key, timeout)


class Client:
    """`with Client(api_key=…, base_url=…) as client:`, or `close()` at the end. Threads may share one.

    `timeout`: seconds without a word from the server until a call fails; `retry`: how often and how patiently a call is
    sent again that met a lost connection, a 429 or a 5xx. A repeat never makes a thing twice: each POST carries an
    Idempotency-Key. `transport`: httpx's, for proxies and certificates of your own. Raises ValueError.
    """

    def __init__(
        self, api_key: str | None = None, base_url: str | None = None, *, timeout: float = DEFAULT_PATIENCE,
        retry: Retry = DEFAULT_RETRY, transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        requests = _requests(api_key, base_url, timeout)
        self.base_url = requests.base
        self._runner = runner = SyncTransport(requests, retry, transport)
        self.printers, self.groups = Printers(runner), Groups(runner)
        self.jobs, self.materials = Jobs(runner), Materials(runner)
        self.analytics, self.webhooks = Analytics(runner), Webhooks(runner)
        self.organization, self.users = Organization(runner), Users(runner)
        self.api_keys, self.audit = ApiKeys(runner), Audit(runner)

    def __repr__(self) -> str:
        return f"Client({self.base_url!r})"

    @property
    def rate_limit(self) -> RateLimit | None:
        """As the newest answer told it."""
        return self._runner.rate_limit

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio: `async with AsyncClient(…) as client:`, `await client.jobs.get(…)`."""

    def __init__(
        self, api_key: str | None = None, base_url: str | None = None, *, timeout: float = DEFAULT_PATIENCE,
        retry: Retry = DEFAULT_RETRY, transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        requests = _requests(api_key, base_url, timeout)
        self.base_url = requests.base
        self._runner = runner = AsyncTransport(requests, retry, transport)
        self.printers, self.groups = AsyncPrinters(runner), AsyncGroups(runner)
        self.jobs, self.materials = AsyncJobs(runner), AsyncMaterials(runner)
        self.analytics, self.webhooks = AsyncAnalytics(runner), AsyncWebhooks(runner)
        self.organization, self.users = AsyncOrganization(runner), AsyncUsers(runner)
        self.api_keys, self.audit = AsyncApiKeys(runner), AsyncAudit(runner)

    def __repr__(self) -> str:
        return f"AsyncClient({self.base_url!r})"

    @property
    def rate_limit(self) -> RateLimit | None:
        """As the newest answer told it."""
        return self._runner.rate_limit

    async def close(self) -> None:
        await self._runner.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
