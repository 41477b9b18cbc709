"""Linking without typing digits: the list of printers in this network, and the address of a printer's QR code."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from demo.parts import KlipperAgent, from_sources
from demo.processes import wait_for
from tests.browser.conftest import OWNER, PASSWORD, Complaints
from tests.browser.server import ServerProcess, free_port


@pytest.fixture
def agent(server: ServerProcess, tmp_path: Path) -> KlipperAgent:
    """The real one, not linked."""
    made = KlipperAgent(from_sources(), tmp_path, free_port())
    made.prepare(server.url)
    with made.config.open("a") as file:
        file.write(f"discovery_port: {free_port()}\n")
    return made


def test_a_printer_is_linked_from_the_list_and_by_its_qr_code(
    page: Page, context: BrowserContext, server: ServerProcess, agent: KlipperAgent, complaints: Complaints
) -> None:
    agent.start()
    try:
        page.goto("/")
        page.get_by_role("button", name="Link a printer").first.click()
        dialog = page.get_by_role("dialog", name="Link a printer")
        dialog.get_by_label("Passcode that the printer shows").fill("zz")
        dialog.get_by_role("button", name="Link by passcode").click()
        expect(dialog.get_by_text("five letters and digits")).to_be_visible()
        dialog.get_by_label("Passcode that the printer shows").fill("zzzzz")
        dialog.get_by_role("button", name="Link by passcode").click()
        expect(dialog.get_by_text("No printer shows this passcode")).to_be_visible()
        complaints.forget("404")
        row = dialog.get_by_role("listitem").filter(has_text="Klipper")
        row.get_by_role("button").click()
        expect(dialog).to_be_hidden()
        expect(page.get_by_text("is linked.")).to_be_visible()
        assert (agent.data_dir / "token").exists()

        assert agent.command("unlink", "--force").returncode == 0
        found = wait_for(lambda: (agent.status().get("search") or {}).get("passlink"), 30, "the passcode")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        page.goto(found)
        page.get_by_label("Name").fill(OWNER)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(dialog.get_by_label("Passcode that the printer shows")).to_have_value(found[-5:])
        dialog.get_by_role("button", name="Link by passcode").click()
        expect(dialog).to_be_hidden()
        wait_for((agent.data_dir / "token").exists, 10, "the token")
        assert page.evaluate("location.hash") == ""
        complaints.forget("401")  # what was under way when the session ended
    finally:
        agent.stop()
