"""A real Chromium in front of the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect, sync_playwright

from tests.browser.server import ServerProcess
from tests.fakes.agent import FakeAgent

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OWNER = "ada"
PASSWORD = "three quiet words"
# What the browser itself writes to the console for each attempt while the server is away.
NETWORK_NOISE = (
    "ERR_INTERNET_DISCONNECTED",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",
    "WebSocket connection",
)

expect.set_options(timeout=15_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield chromium
        chromium.close()


@dataclass
class Complaints:
    """What a page said on its console that it should not have said."""

    lines: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.lines.append(f"uncaught: {error}"))
        page.on("dialog", self._alert)

    def _alert(self, dialog: Dialog) -> None:
        self.lines.append(f"alert: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.lines.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def forget(self, *expected: str) -> None:
        """Drop what a test provokes itself: the browser reports each refused request and connection."""
        self.lines = [line for line in self.lines if not any(words in line for words in expected)]

    def forget_network(self) -> None:
        self.forget(*NETWORK_NOISE)


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Every test ends with a clean console: no error, no policy violation, no script dialog."""
    found = Complaints()
    yield found
    assert found.lines == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("server")).start()
    yield process
    process.stop()


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """One that no other test has touched: nobody has set it up."""
    process = ServerProcess(tmp_path / "data").start()
    yield process
    process.stop()


def set_up(browser: Browser, server: ServerProcess) -> Any:
    """Make the owner through the API; the storage state that a context logs in with."""
    context = browser.new_context(base_url=server.url)
    token = server.wait_for_setup_link().partition("#")[2]
    answer = context.request.post("/api/v1/auth/setup/", data={"token": token, "name": OWNER, "password": PASSWORD})
    assert answer.ok, answer.text()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture(scope="module")
def session(browser: Browser, server: ServerProcess) -> Any:
    return set_up(browser, server)


@pytest.fixture
def context(browser: Browser, server: ServerProcess, session: Any) -> Iterator[BrowserContext]:
    """Logged in, desktop size, nothing cached; its printers are deleted afterwards."""
    made = browser.new_context(
        base_url=server.url, storage_state=session, viewport={"width": 1280, "height": 900}, locale="en-GB"
    )
    yield made
    csrf = next((c["value"] for c in made.cookies() if c.get("name") == "tsd_csrftoken"), "")
    for printer in made.request.get("/api/v1/printers/").json():
        made.request.delete(f"/api/v1/printers/{printer['id']}/", headers={"X-CSRFToken": csrf})
    made.close()


@pytest.fixture
def own_session(
    browser: Browser,
    server: ServerProcess,
    session: Any,  # there is an owner
) -> Iterator[BrowserContext]:
    """Logged in anew: the test may end this session."""
    made = browser.new_context(base_url=server.url)
    answer = made.request.post("/api/v1/auth/login/", data={"name": OWNER, "password": PASSWORD})
    assert answer.ok, answer.text()
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints) -> Page:
    made = context.new_page()
    complaints.watch(made)
    return made


@pytest.fixture
def link(context: BrowserContext, server: ServerProcess) -> Iterator[Callable[..., FakeAgent]]:
    """link(name, acks=…) makes a printer with a connected fake agent."""
    agents: list[FakeAgent] = []

    def make(name: str = "Voron", *, acks: tuple[str, ...] = ()) -> FakeAgent:
        agent = link_agent(context, server, name, acks=acks)
        agents.append(agent)
        return agent

    yield make
    for agent in agents:
        agent.close()


def link_agent(context: BrowserContext, server: ServerProcess, name: str, *, acks: tuple[str, ...] = ()) -> FakeAgent:
    """A new printer called `name`, linked as an agent does it, its agent connected."""
    code = context.request.get("/api/v1/onetimeverificationcodes/").json()["code"]
    agent = FakeAgent.link(server.url, code, acks=acks)
    newest = max(printer["id"] for printer in context.request.get("/api/v1/printers/").json())
    csrf = next(c["value"] for c in context.cookies() if c.get("name") == "tsd_csrftoken")
    changed = context.request.patch(f"/api/v1/printers/{newest}/", data={"name": name}, headers={"X-CSRFToken": csrf})
    assert changed.ok, changed.text()
    return agent.connect()
