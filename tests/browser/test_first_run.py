"""First run, log-in, log-out, and linking: from nothing to a card on the page."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect
from pyotp import TOTP

from tests.browser.conftest import OWNER, PASSWORD, Complaints
from tests.browser.server import ServerProcess
from tests.fakes.agent import FakeAgent, job_status


def test_from_the_first_run_link_to_a_card_that_moves(
    browser: Browser, fresh_server: ServerProcess, complaints: Complaints
) -> None:
    server = fresh_server
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.clock.install()
    complaints.watch(page)

    page.goto("/")
    expect(page).to_have_url(f"{server.url}/setup")
    expect(page.get_by_text("Open the whole link that it printed")).to_be_visible()

    page.goto("about:blank")
    page.goto(server.wait_for_setup_link())
    expect(page.get_by_text("At least 8 characters")).to_be_visible()
    page.get_by_label("Your name").fill(OWNER)
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_text("Too short: 5 of at least 8")).to_be_visible()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD + "x")
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_text("The two passwords differ")).to_be_visible()
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Set up").click()
    expect(page).to_have_url(f"{server.url}/")
    expect(page.get_by_role("heading", name="No printer yet")).to_be_visible()

    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{server.url}/login")
    page.get_by_label("Name").fill(OWNER)
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("Wrong name or password")
    complaints.forget("401")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("heading", name="No printer yet")).to_be_visible()

    page.locator("#empty").get_by_role("button", name="Link a printer").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".digits")).to_have_text(re.compile(r"^\d{3} \d{3}$"))
    expect(dialog.get_by_text("Valid for 1:59:")).to_be_visible()
    expect(dialog.get_by_text(server.url, exact=True)).to_be_visible()
    code = (dialog.locator(".digits").text_content() or "").replace(" ", "")
    command = f"moonraker-obico link --server {server.url} --code {code}"
    expect(dialog.get_by_role("group", name="Command")).to_contain_text(command)

    agent = FakeAgent.link(server.url, code)
    page.clock.fast_forward(6_000)  # the page asks every 5 s
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("article")).to_contain_text("Offline")
    agent.connect()
    try:
        agent.send_status(job_status(completion=32.4), print_ts=1_767_000_000, event="PrintStarted")
        expect(page.get_by_role("article")).to_contain_text("benchy.gcode")
        expect(page.get_by_role("article")).to_contain_text("32.4 %")
        agent.send_status(job_status(completion=33.9), print_ts=1_767_000_000)
        expect(page.get_by_role("article")).to_contain_text("33.9 %")
    finally:
        agent.close()
        context.close()


def test_a_set_up_link_works_only_once(browser: Browser, fresh_server: ServerProcess) -> None:
    context = browser.new_context(base_url=fresh_server.url)
    token = fresh_server.wait_for_setup_link().partition("#")[2]
    body = {"token": token, "name": OWNER, "password": PASSWORD}
    assert context.request.post("/api/v1/auth/setup/", data=body).ok
    other = browser.new_context(base_url=fresh_server.url)
    page = other.new_page()
    page.goto(fresh_server.wait_for_setup_link())
    expect(page).to_have_url(f"{fresh_server.url}/login")
    assert not other.request.post("/api/v1/auth/setup/", data=body).ok
    other.close()
    context.close()


def test_a_second_factor_is_asked_for_with_the_password(browser: Browser, fresh_server: ServerProcess) -> None:
    context = browser.new_context(base_url=fresh_server.url)
    token = fresh_server.wait_for_setup_link().partition("#")[2]
    made = context.request.post("/api/v1/auth/setup/", data={"token": token, "name": OWNER, "password": PASSWORD})
    headers = {"X-CSRFToken": made.json()["csrf_token"]}
    begun = context.request.post("/api/v1/auth/second_factor/", data={"password": PASSWORD}, headers=headers).json()
    phone = TOTP(begun["secret"])
    confirmed = context.request.post(
        "/api/v1/auth/second_factor/confirm/", data={"code": phone.now()}, headers=headers
    ).json()
    other = browser.new_context(base_url=fresh_server.url)
    page = other.new_page()
    page.goto("/login")
    page.get_by_label("Name").fill(OWNER)
    page.get_by_label("Password").fill(PASSWORD)
    expect(page.get_by_label("Code")).to_be_hidden()
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Code")).to_be_focused()
    page.get_by_label("Code").fill("no code")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong, or was used already")
    page.get_by_label("Code").fill(confirmed["recovery_codes"][0])
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{fresh_server.url}/")
    other.close()
    context.close()
