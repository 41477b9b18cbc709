"""A desktop program asks for a key: log-in, question, key, in a real Chromium."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import OWNER, PASSWORD, Complaints
from tests.browser.server import ServerProcess

ORCA = "/o/authorize?response_type=token&client_id=OrcaSlicer&hide_navbar=true"


def test_orcaslicer_is_handed_a_key_after_log_in_and_consent(
    browser: Browser, server: ServerProcess, session: Any, complaints: Complaints
) -> None:
    """Its window has `window.wx`, whose `postMessage` takes `{"command": "login_token", "data": {"token"}}`."""
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    complaints.watch(page)
    page.add_init_script("window.told = []; window.wx = { postMessage: (text) => window.told.push(text) };")
    page.goto(ORCA)
    expect(page).to_have_url(f"{server.url}/login?next={quote(ORCA, safe='')}")
    page.get_by_label("Name").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(server.url + ORCA)
    expect(page.get_by_role("heading", name="Allow OrcaSlicer")).to_be_visible()
    expect(page.get_by_text(f"OrcaSlicer asks to use this server as {OWNER}")).to_be_visible()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Done. You can close this window.")
    (told,) = page.evaluate("window.told")
    message = json.loads(told)
    assert message["command"] == "login_token"
    headers = {"Authorization": f"Bearer {message['data']['token']}"}
    other = browser.new_context(base_url=server.url, extra_http_headers=headers)
    assert other.request.get("/api/v1/printers/").ok
    other.close()
    context.close()


def test_in_a_browser_the_key_is_shown_and_refusing_makes_none(page: Page, context: BrowserContext) -> None:
    def keys() -> int:
        return len(context.request.get("/api/v1/api_keys/").json())

    before = keys()
    page.goto(ORCA)
    page.get_by_role("button", name="Do not allow").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was allowed")
    assert keys() == before
    page.goto(ORCA)
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.get_by_label("API key").input_value().startswith("ors_")
    assert keys() == before + 1


def test_a_registered_program_is_sent_back_with_the_key(
    page: Page, context: BrowserContext, server: ServerProcess
) -> None:
    csrf = next(c["value"] for c in context.cookies() if c.get("name") == "tsd_csrftoken")
    back = f"{server.url}/static/favicon.svg"  # something that answers
    new = {"client_id": "tool", "name": "A tool", "redirect_uris": [back]}
    made = context.request.post("/api/v1/oauth/clients/", data=new, headers={"X-CSRFToken": csrf})
    assert made.ok, made.text()
    page.goto(f"/o/authorize?response_type=token&client_id=tool&state=s1&redirect_uri={back}")
    expect(page.get_by_text(f"Afterwards you are sent to {back}")).to_be_visible()
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_url(f"{back}#*")
    words = parse_qs(urlsplit(page.url).fragment)
    assert (words["token_type"], words["state"]) == (["Bearer"], ["s1"])
    assert words["access_token"][0].startswith("ors_")


def test_a_stranger_is_sent_nowhere(page: Page, complaints: Complaints, server: ServerProcess) -> None:
    page.goto("/o/authorize?response_type=token&client_id=OrcaSlicer&redirect_uri=https://evil.example/")
    expect(page.get_by_role("alert")).to_contain_text("not registered")
    expect(page.get_by_role("button")).to_have_count(0)
    complaints.forget("400")
    page.goto("/login?next=//evil.example/")  # logged in: goes on at once, to the start
    expect(page).to_have_url(f"{server.url}/")
