"""The settings page in Chromium: opens, says what is typed wrongly, links, shows names as text, never runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.octoprint import VERSIONS, complaints, octoprint
from tests.e2e.test_octoprint_plugin import NEW_TOKEN, linking_server

__all__ = ["linking_server"]  # a fixture

pytestmark = [pytest.mark.octoprint, pytest.mark.browser]

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def page() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(20_000)
        yield page
        browser.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_settings_page(version: str, tmp_path: Path, linking_server: str, page: Any) -> None:
    errors: list[str] = []
    bodies: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda answer: bodies.append(answer.url))
    with octoprint(version, tmp_path, snapshot_url="https://camera.invalid/?action=snapshot") as host:
        page.goto(host.url)
        page.fill("#login-user", host.setup.user)
        page.fill("#login-password", host.setup.password)
        page.click("#login-button")
        page.wait_for_selector("#navbar_show_settings", state="visible")
        page.get_by_text("Link this printer to a server to watch it from afar").wait_for()

        page.click("#navbar_show_settings")
        page.click("#settings_plugin_obico_link a")
        page.get_by_text("Not linked to a server yet").wait_for()

        page.fill("#obico_server", linking_server)
        page.fill("#obico_code", "12ab")
        page.click("#obico_link")
        page.locator("#obico_said", has_text="six digits").wait_for()
        page.fill("#obico_code", "111111")
        page.click("#obico_link")
        page.locator("#obico_said", has_text="does not know this code").wait_for()
        page.fill("#obico_server", "not a server")
        page.click("#obico_link")
        page.locator("#obico_said", has_text="server address").wait_for()

        page.fill("#obico_server", linking_server)
        page.fill("#obico_code", "042 137")
        page.click("#obico_link")
        # The printer's name has markup in it: it is shown, not interpreted.
        page.locator("#obico_said", has_text="as “Shelf <b>2</b>”").wait_for()
        page.get_by_text("Not connected to").wait_for()

        row = page.locator("#settings_plugin_obico_page tbody tr")
        assert row.count() == 1
        row.locator("input[type=checkbox]").uncheck()
        row.get_by_text("Test").click()
        page.locator("#obico_said", has_text="camera.invalid").wait_for()
        assert not row.locator("input[type=checkbox]").is_checked()

        page.click("#obico_unlink")
        page.locator(".modal-footer .btn", has_text="Unlink").last.click()
        page.get_by_text("Not linked to a server yet").wait_for()
        assert NEW_TOKEN not in page.content()
        assert [error for error in errors if "obico" in error.lower()] == []
        assert [line for line in complaints(host) if "not connected" not in line] == []
    assert any("/static/webassets/" in url or "obico" in url for url in bodies)
