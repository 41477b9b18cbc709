"""Two people in front of one farm: an invitation, a viewer who may not pause, an operator who does."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.conftest import PASSWORD, Complaints, link_agent, set_up
from tests.browser.server import ServerProcess
from tests.fakes.agent import job_status


def test_invited_viewer_then_operator(browser: Browser, tmp_path: Path, complaints: Complaints) -> None:
    server = ServerProcess(tmp_path / "data").start()
    owner = browser.new_context(base_url=server.url, storage_state=set_up(browser, server))
    guest = browser.new_context(base_url=server.url)
    agent = link_agent(owner, server, "Voron", acks=("command_ack",))
    try:
        agent.send_status(job_status("Printing"), print_ts=1_795_000_000, event="PrintStarted")
        page, other = owner.new_page(), guest.new_page()
        for each in (page, other):
            complaints.watch(each)
        page.goto("/")
        page.get_by_role("button", name="Security").click()
        people = page.locator(".people")
        people.get_by_label("E-mail address").fill("vera@example.org")
        people.get_by_role("button", name="Invite", exact=True).click()
        expect(page.get_by_role("dialog", name="Security")).not_to_contain_text("null")
        link = people.locator(".note code").inner_text()
        assert link.startswith(f"{server.url}/invitation#")

        other.goto(link)
        expect(other.get_by_text("ada invites you to the printers of ada, as viewer.")).to_be_visible()
        other.get_by_label("Your name").fill("vera")
        other.get_by_label("Password", exact=True).fill(PASSWORD)
        other.get_by_label("The same password again").fill(PASSWORD + "x")
        other.get_by_role("button", name="Join").click()
        expect(other.get_by_text("The two passwords differ")).to_be_visible()
        other.get_by_label("The same password again").fill(PASSWORD)
        other.get_by_role("button", name="Join").click()
        expect(other.get_by_text("vera (viewer)")).to_be_visible()
        card = other.get_by_role("article", name="Voron")
        expect(card).to_contain_text("Printing")
        expect(other.locator("#role-note")).to_contain_text("Operators pause, resume and cancel")
        for name in ("Pause the print on Voron", "Settings of Voron", "Control Voron", "Link a printer", "Alerts"):
            expect(other.get_by_role("button", name=name)).to_have_count(0)
        pause = "() => import('/static/js/api.js').then((api) => api.command(1, 'pause')).catch(String)"
        refused = other.evaluate(pause)
        assert "Your role, viewer, does not allow that" in refused
        complaints.forget("403")

        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Security").click()
        people.get_by_label("Role of vera").select_option("operator")
        expect(page.get_by_text("vera is operator now.")).to_be_visible()

        expect(other.get_by_text("vera (operator)")).to_be_visible()  # without a reload
        expect(card.get_by_role("button", name="Settings of Voron")).to_have_count(0)
        card.get_by_role("button", name="Pause the print on Voron").click()
        other.get_by_role("dialog").get_by_role("button", name="Pause").click()
        agent.wait_for_command("pause")

        keys = page.locator(".fleet-keys")
        keys.get_by_label("Name of a new fleet key").fill("shop")
        keys.get_by_role("button", name="Make a fleet key").click()
        key = keys.locator(".note code").inner_text()
        headers = {"Authorization": f"Bearer {key}"}
        assert guest.request.get("/v1/printers", headers=headers).json()["pagination"]["total"] == 1
        keys.get_by_role("button", name="Revoke…").click()
        page.get_by_role("button", name="Revoke it").click()
        expect(page.get_by_text("The key is revoked.")).to_be_visible()
        assert guest.request.get("/v1/printers", headers=headers).status == 401
        complaints.forget_network()
    finally:
        agent.close()
        guest.close()
        owner.close()
        server.stop()
