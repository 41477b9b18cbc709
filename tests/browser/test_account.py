"""The account's dialogs: alerts and security, in a browser of its own with a server of its own."""

from __future__ import annotations

import hmac
import re
import struct
import threading
import time
from base64 import b32decode, b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import OWNER, PASSWORD, Complaints, set_up
from tests.browser.server import ServerProcess


def totp(secret: str, moment: float) -> str:
    """RFC 6238, written down here so that the server's library is held against something else."""
    digest = hmac.digest(b32decode(secret), struct.pack(">Q", int(moment // 30)), "sha1")
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


@pytest.fixture
def page(browser: Browser, tmp_path: Path, complaints: Complaints) -> Iterator[Page]:
    server = ServerProcess(tmp_path / "data", "--allow-loopback-addresses", "yes").start()
    context = browser.new_context(base_url=server.url, storage_state=set_up(browser, server))
    made = context.new_page()
    complaints.watch(made)
    yield made
    context.close()
    server.stop()


def test_second_factor_from_setting_up_to_log_in(page: Page, complaints: Complaints) -> None:
    page.goto("/")
    page.get_by_role("button", name="Security").click()
    dialog = page.get_by_role("dialog", name="Security")
    dialog.get_by_label("Your password").fill("wrong words")
    dialog.get_by_role("button", name="Set it up").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    complaints.forget("40")
    dialog.get_by_label("Your password").fill(PASSWORD)
    dialog.get_by_role("button", name="Set it up").click()
    drawing = dialog.get_by_role("img", name="QR code")
    expect(drawing).to_be_visible()
    assert drawing.evaluate("img => img.complete && img.naturalWidth > 0")
    secret = dialog.locator(".copyable code").inner_text()
    dialog.get_by_label("Code that the app shows now").fill(totp(secret, time.time()))
    dialog.get_by_role("button", name="Switch it on").click()
    expect(dialog.locator(".codes li")).to_have_count(10)
    recovery = dialog.locator(".codes code").first.inner_text()
    dialog.get_by_role("button", name="I have kept them").click()
    expect(dialog).to_contain_text("10 recovery codes are left")
    dialog.get_by_role("button", name="Close").click()

    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Name").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    code = page.get_by_label("Code from your phone, or a recovery code")
    code.fill(recovery)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Printers", exact=True)).to_be_visible()
    complaints.forget("401")  # what was under way when the session ended


def test_a_key_is_shown_once_and_revoked(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Security").click()
    dialog = page.get_by_role("dialog", name="Security")
    dialog.get_by_label("Name of a new key").fill("shelf script")
    dialog.get_by_role("button", name="Make a key").click()
    key = dialog.locator(".note code").inner_text()
    assert len(key) >= 32
    answer = page.request.get("/api/v1/printers/", headers={"Authorization": f"Bearer {key}"})
    assert answer.status == 200
    dialog.get_by_role("button", name="Revoke…").click()
    page.get_by_role("dialog", name="Revoke shelf script?").get_by_role("button", name="Revoke it").click()
    expect(dialog.get_by_text("shelf script")).to_have_count(0)
    expect(page.locator("body")).not_to_contain_text(key)


def test_the_password_is_changed_only_with_the_old_one(page: Page, complaints: Complaints) -> None:
    page.goto("/")
    page.get_by_role("button", name="Security").click()
    dialog = page.get_by_role("dialog", name="Security")
    dialog.get_by_label("Present password").fill("not this one")
    dialog.get_by_label("New password").fill("four quieter words")
    dialog.get_by_role("button", name="Change the password").click()
    expect(dialog.get_by_role("alert")).to_be_visible()
    complaints.forget("40")
    dialog.get_by_label("Present password").fill(PASSWORD)
    dialog.get_by_role("button", name="Change the password").click()
    expect(dialog).to_contain_text("The password is changed.")


def test_a_program_gets_a_name_and_password_for_one_printer(page: Page) -> None:
    code = page.request.get("/api/v1/onetimeverificationcodes/").json()["code"]
    page.request.post(f"/api/v1/octo/verify/?code={code}")
    page.goto("/")
    page.get_by_role("button", name="Settings of").click()
    page.get_by_role("button", name="Programs that may open it…").click()
    dialog = page.get_by_role("dialog", name="Programs for")
    dialog.get_by_label("Name of the program").fill("OctoApp")
    dialog.get_by_role("button", name="Let a program in").click()
    expect(dialog.locator(".note code")).to_have_count(3)
    url, login, password = dialog.locator(".note code").all_inner_texts()
    credentials = b64encode(f"{login}:{password}".encode()).decode()
    answer = page.request.get(f"{url}/", headers={"Authorization": f"Basic {credentials}"})
    assert answer.status == 482, "let in; the printer is away"
    dialog.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog", name="Remove OctoApp?").get_by_role("button", name="Remove it").click()
    expect(dialog.get_by_text("OctoApp", exact=True)).to_have_count(0)
    answer = page.request.get(f"{url}/", headers={"Authorization": f"Basic {credentials}"})
    assert answer.status == 401


class _Hook(BaseHTTPRequestHandler):
    got: list[bytes]

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    handler = type("Hook", (_Hook,), {"got": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", handler.got  # type: ignore[attr-defined]  # made just above
    server.shutdown()
    thread.join()
    server.server_close()


def test_alerts_are_set_up_and_tried(page: Page, hook: tuple[str, list[bytes]], complaints: Complaints) -> None:
    """The server is started with loopback allowed, since the receiver is on this machine."""
    address, got = hook
    page.goto("/")
    page.get_by_role("button", name="Alerts").click()
    dialog = page.get_by_role("dialog", name="Alerts")
    expect(dialog).to_contain_text("Nobody is told anything yet.")
    dialog.get_by_label("Add a way to be told").select_option("webhook")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_contain_text("Enter the address.")
    dialog.get_by_label("Address", exact=True).fill("http://169.254.169.254/latest")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.locator(".field-error:visible")).to_have_count(1)
    complaints.forget("400")
    dialog.get_by_label("Name", exact=True).fill("My program")
    dialog.get_by_label("Address", exact=True).fill(address)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_contain_text("Signed with this secret, shown only now:")
    dialog.get_by_role("button", name="Send a test").click()
    expect(dialog).to_contain_text("The test to My program was taken.")
    assert len(got) == 1
    assert b'"test"' in got[0]

    dialog.get_by_label("A print began").check()
    dialog.get_by_label("Quiet hours").check()
    dialog.get_by_label("From").fill("23:00")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("Saved.")
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Alerts").click()
    expect(dialog.get_by_label("A print began")).to_be_checked()
    expect(dialog.get_by_label("From")).to_have_value("23:00")
    dialog.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog", name=re.compile("Remove My program")).get_by_role("button", name="Remove it").click()
    expect(dialog).to_contain_text("Nobody is told anything yet.")
