"""Alerts leave the real server: to a mail server, to web hooks, through Apprise; and survive its death."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.parts import Server, from_sources
from demo.processes import wait_for
from demo.rest import Refused, Rest
from tests.fakes.receivers import HookReceiver, SmtpCatcher, hook_receiver, smtp_catcher
from tests.unit.reference_server.live_server import Socket, status
from tests.unit.reference_server.support import jpeg

PASSWORD = "alerts of a test"


@pytest.fixture(scope="module")
def mail() -> Iterator[SmtpCatcher]:
    with smtp_catcher() as catcher:
        yield catcher


@pytest.fixture
def hook() -> Iterator[HookReceiver]:
    with hook_receiver() as receiver:
        yield receiver


def make_server(folder: Path, mail: SmtpCatcher, *more: str) -> Server:
    options = ["--smtp-host", "127.0.0.1", "--smtp-port", str(mail.port), "--smtp-security", "none", "--smtp-from",
               "printers@example.org", "--offline-alert-after", "1", *more]  # fmt: skip
    return Server(from_sources(), folder, more=options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mail: SmtpCatcher) -> Iterator[Server]:
    made = make_server(tmp_path_factory.mktemp("server"), mail, "--allow-loopback-addresses", "yes")
    made.start()
    try:
        made.set_up(PASSWORD)
        yield made
    finally:
        made.stop()


class Agent:
    """A printer's agent, in as few words as the protocol allows."""

    def __init__(self, server: Server) -> None:
        self.rest = server.rest
        answer = requests.post(f"{server.url}/api/v1/octo/verify/?code={self.rest.new_code()}", timeout=10)
        self.printer: dict[str, Any] = answer.json()["printer"]
        self.server, self.token = server, self.printer["auth_token"]
        self.ts = int(time.time())
        self.sockets: list[Socket] = []
        self.connect()

    def connect(self) -> None:
        url = f"{self.server.url.replace('http', 'ws', 1)}/ws/dev/"
        self.socket = Socket(url, {"authorization": f"bearer {self.token}"})
        self.sockets.append(self.socket)

    def tell(self, event: str | None, **more: Any) -> None:
        message: dict[str, Any] = {"current_print_ts": self.ts, "status": status(time.time(), **more)}
        if event is not None:
            message["event"] = {"event_type": event, "data": {"name": "clip.gcode"}}
        self.socket.send(message)

    def picture(self) -> None:
        answer = requests.post(
            f"{self.server.url}/api/v1/octo/pic/", files={"pic": jpeg()}, timeout=10,
            headers={"Authorization": f"Token {self.token}"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text

    def close(self) -> None:
        for socket in self.sockets:
            socket.connection.close()
        self.sockets.clear()


@pytest.fixture
def agent(server: Server) -> Iterator[Agent]:
    made = Agent(server)
    with contextlib.closing(made):
        yield made


def add(rest: Rest, kind: str, target: str, **more: Any) -> dict[str, Any]:
    """A channel, and the only one."""
    for channel in rest.get("/api/v1/notification_channels/"):
        requests.delete(
            f"{rest.url}/api/v1/notification_channels/{channel['id']}/", timeout=10,
            headers={"Authorization": f"Bearer {rest.key}"},
        )  # fmt: skip
    return dict(rest.post("/api/v1/notification_channels/", {"kind": kind, "name": kind, "target": target, **more}))


def signature_is_right(call: Any, secret: str) -> bool:
    text = call.headers["x-webhook-timestamp"].encode() + b"." + call.body
    expected = "v1=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return hmac.compare_digest(str(call.headers["x-webhook-signature"]), expected)


def test_a_short_print_that_is_done_reaches_the_web_hook_with_picture_and_link(
    server: Server, agent: Agent, hook: HookReceiver
) -> None:
    channel = add(server.rest, "webhook", hook.url)
    agent.tell("PrintStarted")
    agent.picture()
    agent.tell("PrintDone")
    wait_for(lambda: hook.calls, 20, "the web hook")
    (call,) = hook.calls
    assert signature_is_right(call, channel["secret"])
    assert call.headers["x-webhook-id"] == call.json["id"]
    assert abs(int(call.headers["x-webhook-timestamp"]) - time.time()) < 60
    data = call.json["data"]
    job = server.rest.prints(agent.printer["id"])[0]
    assert (call.json["event"], data["url"]) == ("print_done", f"{server.url}/#/prints/{job['id']}")
    assert (data["print"]["filename"], data["print"]["ended_reason"]) == ("clip.gcode", "done")
    # Its picture needs no credentials (its camera may lie on its side: then it differs in its head only).
    assert requests.get(data["image_url"], timeout=10).content.endswith(jpeg()[-12:])
    log = server.rest.get(f"/api/v1/notification_deliveries/?channel_id={channel['id']}")
    assert [(one["state"], one["tries"][0]["status"]) for one in log] == [("delivered", 204)]


def test_a_mail_has_words_link_and_picture(server: Server, agent: Agent, mail: SmtpCatcher) -> None:
    add(server.rest, "email", "ada@example.org")
    mail.mails.clear()
    agent.tell("PrintStarted")
    agent.picture()
    agent.tell("PrintCancelled")
    agent.tell("PrintFailed")
    wait_for(lambda: mail.mails, 20, "the mail")
    (found,) = mail.mails
    assert (found["subject"], found["to"], found["from"]) == (
        "Print Job Canceled", "ada@example.org", "printers@example.org"
    )  # fmt: skip
    plain, html = found.get_body(("plain",)), found.get_body(("html",))
    assert plain is not None
    assert html is not None
    job = server.rest.prints(agent.printer["id"])[0]
    for text in (plain.get_content(), html.get_content()):
        assert "clip.gcode" in text
        assert f"{server.url}/#/prints/{job['id']}" in text
    assert "cid:picture@alert" in html.get_content()
    (picture,) = [part for part in found.walk() if part.get_content_type() == "image/jpeg"]
    assert picture["content-id"] == "<picture@alert>"
    assert bytes(picture.get_content()).endswith(jpeg()[-12:])


def test_apprise_carries_words_and_picture(server: Server, agent: Agent, hook: HookReceiver) -> None:
    made = add(server.rest, "apprise", hook.url.replace("http://", "json://") + "?+X-Secret=s3cr3t")
    assert made["target"] == "json://***"
    agent.tell("PrintStarted")
    agent.picture()
    agent.tell("PrintDone")
    wait_for(lambda: hook.calls, 30, "Apprise's call")
    body = hook.calls[0].json
    assert body["title"] == "Print Job Finished"
    assert "clip.gcode" in body["message"]
    assert "/#/prints/" in body["message"]
    assert [attachment["mimetype"] for attachment in body["attachments"]] == ["image/jpeg"]


def test_an_own_body(server: Server, agent: Agent, hook: HookReceiver) -> None:
    channel = add(server.rest, "webhook", hook.url, template='{"content": "{{data.title}}", "id": {{data.print.id}}}')
    agent.tell("PrintStarted")
    agent.tell("PrintDone")
    wait_for(lambda: hook.calls, 20, "the web hook")
    job = server.rest.prints(agent.printer["id"])[0]
    assert hook.calls[0].json == {"content": "Print Job Finished", "id": job["id"]}
    assert signature_is_right(hook.calls[0], channel["secret"])


def test_the_test_call_tells_what_came_back(server: Server, hook: HookReceiver, mail: SmtpCatcher) -> None:
    path = f"/api/v1/notification_channels/{add(server.rest, 'webhook', hook.url)['id']}/"
    found = server.rest.post(f"{path}test/")
    assert (found["delivered"], found["status"], hook.calls[0].json["event"]) == (True, 204, "test")
    hook.answer = lambda _: 418
    found = server.rest.post(f"{path}test/")
    assert (found["delivered"], found["status"], found["detail"]) == (False, 418, "it answered 418")
    path = f"/api/v1/notification_channels/{add(server.rest, 'email', 'nobody@example.org')['id']}/"
    mail.refusing = "554 no room"
    found = server.rest.post(f"{path}test/")
    mail.refusing = None
    assert (found["delivered"], found["detail"]) == (False, "the mail server answered 554: no room")


def test_a_receiver_that_never_answers_costs_ten_seconds(server: Server, hook: HookReceiver) -> None:
    path = f"/api/v1/notification_channels/{add(server.rest, 'webhook', hook.url)['id']}/"
    hook.held.clear()
    found = server.rest.post(f"{path}test/")
    assert found["delivered"] is False
    assert "no answer in time" in found["detail"]
    assert 9 < found["seconds"] < 12


def test_heaters_and_a_printer_that_goes_away(server: Server, agent: Agent, hook: HookReceiver) -> None:
    server.rest.patch("/api/v1/notification_settings/", {"kinds": {"heater_reached": True, "heater_cooled": True}})
    add(server.rest, "webhook", hook.url)

    def heat(actual: float, target: float) -> None:
        agent.tell(None, temperatures={"tool0": {"actual": actual, "target": target}})

    agent.tell("PrintStarted")
    heat(20, 210)
    for actual in (209.0, 209.9, 210.1, 180.0, 210.0):
        heat(actual, 210)
    wait_for(lambda: hook.events() == ["heater_reached"], 20, "the heat")
    agent.close()
    wait_for(lambda: hook.events() == ["heater_reached", "printer_offline"], 20, "the word that it is away")
    agent.connect()
    wait_for(lambda: hook.events()[2:] == ["printer_back"], 20, "the word that it is back")
    heat(34.0, 0)
    wait_for(lambda: hook.events()[3:] == ["heater_cooled"], 20, "the cold")
    assert hook.calls[0].json["data"]["details"] == {
        "heater": "tool0", "target": 210.0, "actual": 209.9, "first_target": 210.0
    }  # fmt: skip
    agent.tell("PrintDone")


def test_two_agents_with_one_token_are_told(server: Server, agent: Agent, hook: HookReceiver) -> None:
    add(server.rest, "webhook", hook.url)
    for _ in range(4):
        agent.connect()
    wait_for(lambda: hook.events() == ["agent_trouble"], 20, "the word of it")


def test_agents_words_become_alerts_if_they_ask_for_it(server: Server, agent: Agent, hook: HookReceiver) -> None:
    add(server.rest, "webhook", hook.url)
    for title, notify in (("Silent", "false"), ("Camera: no picture", "true")):
        answer = requests.post(
            f"{server.url}/api/v1/octo/printer_events/", timeout=10, headers={"Authorization": f"Token {agent.token}"},
            data={"event_type": "PRINTER_ERROR", "event_title": title, "event_text": "It broke", "notify": notify},
        )  # fmt: skip
        assert answer.status_code == 200
    wait_for(lambda: hook.calls, 20, "the web hook")
    assert hook.events() == ["camera_trouble"]
    assert hook.calls[0].json["data"]["text"].endswith("(It broke)")


def test_this_machine_is_refused_unless_the_operator_allows_it(tmp_path: Path, mail: SmtpCatcher) -> None:
    server = make_server(tmp_path, mail)
    server.start()
    try:
        server.set_up(PASSWORD)
        for kind, target in (("webhook", "http://127.0.0.1:9/x"), ("webhook", "http://169.254.169.254/x"),
                             ("apprise", "syslog://"), ("apprise", "nonsense://x"),
                             ("apprise", "discord://1/2?template=/etc/passwd")):  # fmt: skip
            with pytest.raises(Refused) as caught:
                add(server.rest, kind, target)
            assert caught.value.status == 400, target
        # Apprise's services resolve names themselves: their connections are vetted.
        channel = add(server.rest, "apprise", "json://127.0.0.1:9/secretpath")
        found = server.rest.post(f"/api/v1/notification_channels/{channel['id']}/test/")
        assert found["delivered"] is False
        assert "secretpath" not in found["detail"]
        said = server.process.said()
        assert "secretpath" not in said
    finally:
        server.stop()


def carriers_of(pid: int) -> list[int]:
    """The processes that carry its alerts."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = re.search(r"^PPid:\s+(\d+)", (entry / "status").read_text(encoding="utf-8"), re.MULTILINE)
            command = (entry / "cmdline").read_bytes()
            if parent is not None and int(parent[1]) == pid and b"reference_server.couriers" in command:
                found.append(int(entry.name))
    return found


def test_kill_minus_nine_loses_no_delivery_and_no_order(tmp_path: Path, mail: SmtpCatcher) -> None:
    server = make_server(tmp_path, mail, "--allow-loopback-addresses", "yes")
    server.start()
    carriers: list[int] = []
    try:
        with hook_receiver() as first, hook_receiver() as second:
            server.set_up(PASSWORD)
            server.rest.patch(
                "/api/v1/notification_settings/",
                {"kinds": {"print_started": True, "print_paused": True, "print_resumed": True}},
            )
            for hook in (first, second):
                server.rest.post(
                    "/api/v1/notification_channels/", {"kind": "webhook", "name": "x", "target": hook.url}
                )
            second.held.clear()  # it takes the first one and never says so
            agent = Agent(server)
            story = ["PrintStarted", "PrintPaused", "PrintResumed", "PrintPaused", "PrintResumed", "PrintDone"]
            for event in story:
                agent.tell(event)
            wait_for(lambda: second.calls and first.calls, 20, "the first deliveries")
            server.kill()
            agent.close()
            second.held.set()
            server.start()
            expected = ["print_started", "print_paused", "print_resumed", "print_paused", "print_resumed", "print_done"]
            wait_for(
                lambda: len(first.events()) == len(second.events()) == len(expected), 60, "every delivery", every=0.1
            )
            assert first.events() == expected
            assert second.events() == expected
            assert len(second.calls) > len(expected), "what was not confirmed was sent again"
            log = server.rest.get("/api/v1/notification_deliveries/?limit=100")
            wait_for(
                lambda: {one["state"] for one in server.rest.get("/api/v1/notification_deliveries/?limit=100")}
                == {"delivered"}, 20, "the end of all deliveries"
            )  # fmt: skip
            assert len(log) == 2 * len(expected)
            carriers = carriers_of(server.process.pid)
            assert carriers
    finally:
        assert server.stop() == 0
    assert not any(is_alive(child) for child in carriers)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
