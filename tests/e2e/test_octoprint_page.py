"""The plugin's pages in Chromium: wizard, settings, navbar, notification. They say what is wrong, show names as text,
and never run them. With OCTOPRINT_PICTURES=<folder> the journeys leave their screenshots there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.octoprint_host import OctoPrintHost
from demo.parts import Server, from_sources
from tests.browser.pictures import draw
from tests.contract.test_server_detection import MlApi, ml_api
from tests.e2e import rig
from tests.e2e.octoprint import VERSIONS, complaints, octoprint
from tests.fakes.agent import FakeAgent

__all__ = ["ml_api"]  # a fixture

pytestmark = [pytest.mark.octoprint, pytest.mark.browser]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PICTURES = os.environ.get("OCTOPRINT_PICTURES")


class Browser:
    """A page, and what went wrong on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def log_in(self, host: OctoPrintHost) -> None:
        page = self.page
        page.goto(host.url)
        page.fill("#login-user", host.setup.user)
        page.fill("#login-password", host.setup.password)
        page.click("#login-button")
        page.wait_for_selector("#navbar_show_settings", state="visible")

    def open_settings(self) -> None:
        self.page.click("#navbar_show_settings")
        self.page.click("#settings_plugin_obico_link a")

    def tab(self, name: str) -> None:
        self.page.click(f"#obico_tabs a[href='#obico_tab_{name}']")

    def shoot(self, version: str, name: str, where: str | None = None) -> None:
        if PICTURES:
            self.page.wait_for_timeout(700)  # what fades in has come
            shot = self.page.locator(where) if where else self.page
            shot.screenshot(path=str(Path(PICTURES) / f"octoprint-{version}-{name}.png"))

    def troubles(self) -> list[str]:
        return [error for error in self.errors if "obico" in error.lower()]


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)

        def new(locale: str = "en-GB") -> Browser:
            page = chromium.new_page(viewport={"width": 1280, "height": 900}, locale=locale)
            page.set_default_timeout(20_000)
            return Browser(page)

        yield new
        chromium.close()


@pytest.fixture
def watchful(tmp_path: Path, ml_api: MlApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A real server whose detector says what the test wants."""
    monkeypatch.delenv("http_proxy", raising=False)
    folder = tmp_path / "server"
    folder.mkdir()
    options = ("--detector", "remote", "--ml-api-url", ml_api.url, "--detection-every", "0.05")
    server = Server(from_sources(), folder, more=options)
    server.start()
    server.set_up(rig.PASSWORD)
    yield server
    server.stop()


NAME = "Shelf <b>2</b>"
@contextmanager
def camera(picture: bytes) -> Iterator[str]:
    """The address of a camera that shows nothing else."""

    class Shows(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shows)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/?action=snapshot"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FRESH = {"server": {"firstRun": True, "seenWizards": {}}}


@pytest.mark.timeout(300)  # two programs, a browser and some forty pictures: 25 s on an idle machine
@pytest.mark.parametrize("version", VERSIONS)
def test_from_a_fresh_octoprint_to_a_pause_that_says_why(
    version: str, tmp_path: Path, watchful: Server, ml_api: MlApi, browser: Any
) -> None:
    shown = browser()
    page, rest = shown.page, watchful.rest
    with ExitStack() as stack:
        picture = draw(page.context.browser, 0.55, label="Shelf")
        host = stack.enter_context(
            octoprint(
                version, tmp_path / "octoprint", extra=FRESH, snapshot_url=stack.enter_context(camera(picture)),
                virtual_printer={"ambientTemperature": 190.0},
            )
        )  # fmt: skip
        shown.log_in(host)
        printer = rest.post("/api/v1/printers/", {"name": NAME})["id"]
        walk_the_wizard(shown, version, watchful, printer)
        state = page.locator("#obico_menu .obico-state")
        page.click("#obico_navbar")
        state.get_by_text(f"Connected to {watchful.url}").wait_for()
        shown.shoot(version, "navbar")
        page.keyboard.press("Escape")

        look_at_the_settings(shown, version)

        host.upload("vase.gcode", rig.octoprint_file().encode(), start=True)
        rest.wait_for_printer(printer, lambda shown: shown["current_print"] is not None, 30, "the print to show")
        judge_until_paused(watchful, printer, ml_api, picture)
        host.wait_for_state("PAUSED")
        notice = page.locator(".ui-pnotify", has=page.locator(".obico-pause"))
        notice.get_by_text("Paused by failure detection", exact=True).wait_for()
        notice.get_by_text("vase.gcode was paused by failure detection on").wait_for()
        assert ", score 0." in notice.inner_text() or ", score 1." in notice.inner_text()
        assert "above the pause threshold" in notice.inner_text()
        notice.locator("img").wait_for()
        assert page.evaluate("document.querySelector('.obico-pause img').naturalWidth") > 100
        shown.shoot(version, "paused")

        notice.locator(".obico-mute").click()
        notice.get_by_text("Alerts are off for this print").wait_for()
        assert rest.printer(printer)["current_print"]["alert_muted_at"] is not None
        notice.locator(".obico-resume").focus()
        page.keyboard.press("Enter")
        host.wait_for_state("PRINTING")
        notice.wait_for(state="detached")
        look_in_german(browser("de-DE"), version, host, watchful)
        unlink_and_look_again(shown, host)
        token = rest.printer(printer)["auth_token"]
        assert token not in page.content()
        assert shown.troubles() == []
        assert [line for line in complaints(host) if "camera.invalid" not in line] == []


def walk_the_wizard(shown: Browser, version: str, server: Server, printer: int) -> None:
    """From the first page to the last; ours link the printer, and leave no code behind unused."""
    page = shown.page
    dialog = page.locator("#wizard_dialog")

    def on(step: str) -> bool:
        return bool(dialog.locator(f"#{step}").is_visible())

    def next_until(step: str) -> None:
        for _ in range(15):
            if on(step):
                return
            dialog.locator(".button-next").click()
        raise AssertionError(f"the wizard has no page {step}")

    dialog.wait_for()
    next_until("wizard_plugin_obico_link")
    page.fill("#obico_wizard_server", server.url)
    page.fill("#obico_wizard_code", "042137")
    shown.shoot(version, "wizard")
    for address, code, words in (
        (server.url, "12ab", "six digits"),
        (server.url, "111111", "does not know this code"),
        ("not a server", "042137", "server address"),
    ):
        page.fill("#obico_wizard_server", address)
        page.fill("#obico_wizard_code", code)
        page.click("#obico_wizard_link")
        page.locator("#obico_wizard_said", has_text=words).wait_for()
    page.fill("#obico_wizard_server", server.url)
    page.fill("#obico_wizard_code", server.rest.new_code(printer))
    dialog.locator(".button-next").click()
    page.locator("#obico_wizard_said", has_text="Press “Link” first").wait_for()
    page.locator("#obico_wizard_code").press("Enter")
    # The printer's name has markup in it: it is shown, not interpreted.
    page.locator("#obico_wizard_said", has_text=f"Linked to {server.url} as “{NAME}”").wait_for()
    page.locator("#wizard_plugin_obico_link .obico-state", has_text="Connected to").wait_for()

    dialog.locator(".button-next").click()
    row = page.locator("#wizard_plugin_obico_cameras tbody tr")
    row.get_by_text("Test").click()
    page.locator("#obico_wizard_cameras_said", has_text="pixels came").wait_for()
    shown.shoot(version, "wizard-cameras")
    next_until("wizard_plugin_obico_privacy")
    page.locator("#obico_wizard_tell_plugins").uncheck()
    next_until("wizard_firstrun_end")
    for box in dialog.locator("#wizard_firstrun_end input[type=checkbox]").all():
        box.check()  # OctoPrint's own warnings
    dialog.locator(".button-finish").click()
    dialog.wait_for(state="hidden")


def look_at_the_settings(shown: Browser, version: str) -> None:
    page = shown.page
    shown.open_settings()
    shown.shoot(version, "settings")
    shown.tab("privacy")
    assert not page.locator("#obico_tell_plugins").is_checked()  # as the wizard was told
    shown.tab("behaviour")
    assert page.locator("#obico_pause_notification").is_checked()
    shown.tab("cameras")
    shown.shoot(version, "settings-cameras")
    page.locator("#settings_dialog .modal-footer .btn-primary").last.click()
    page.locator("#settings_dialog").wait_for(state="hidden")


def judge_until_paused(server: Server, printer: int, ml_api: MlApi, picture: bytes) -> None:
    """Pictures as the agent posts them, but quicker: thirty good ones, then ever worse ones."""
    agent = FakeAgent(server.url, server.rest.printer(printer)["auth_token"])
    ml_api.places = ([480.0, 330.0, 220.0, 120.0], [430.0, 430.0, 60.0, 50.0])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ml_api.confidence = 0.0 if ml_api.judged < 30 else 0.9
        agent.post_picture(picture)
        threading.Event().wait(0.1)  # the server's own pace; a picture that comes too soon is not judged
        if server.rest.printer(printer)["current_print"]["paused_at"]:
            return
    raise AssertionError("failure detection has not paused the print")


def look_in_german(shown: Browser, version: str, host: OctoPrintHost, server: Server) -> None:
    shown.log_in(host)
    shown.page.click("#obico_navbar")
    shown.page.locator("#obico_menu", has_text=f"Verbunden mit {server.url}").wait_for()
    shown.page.locator("#obico_menu button", has_text="Einstellungen …").click()
    shown.tab("privacy")
    shown.page.locator("#obico_tab_privacy", has_text="Alles geht an den Server").wait_for()
    shown.shoot(version, "settings-german")
    assert shown.troubles() == []


def unlink_and_look_again(shown: Browser, host: OctoPrintHost) -> None:
    """A camera whose certificate need not be checked, and the end of the link."""
    page = shown.page
    secure = {"snapshot": "https://camera.invalid/?action=snapshot"}
    host.post("/api/settings", {"plugins": {"classicwebcam": secure}})
    shown.open_settings()
    shown.tab("cameras")
    row = page.locator("#settings_plugin_obico_page tbody tr")
    row.locator("input[type=checkbox]").uncheck()
    row.get_by_text("Test").click()
    page.locator("#obico_said", has_text="camera.invalid").wait_for()
    assert not row.locator("input[type=checkbox]").is_checked()
    shown.tab("link")
    page.click("#obico_unlink")
    page.locator(".modal-footer .btn", has_text="Unlink").last.click()
    page.locator("#settings_plugin_obico_page .obico-state", has_text="Not linked to a server yet").wait_for()
