"""The plugin in real OctoPrint: it loads, keeps its secret, links and unlinks, and leaves nothing running."""

from __future__ import annotations

import http.cookiejar
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.octoprint_host import OctoPrintHost, wait_until
from tests.e2e.octoprint import VERSIONS, complaints, octoprint

pytestmark = pytest.mark.octoprint

SPY = (Path(__file__).parent / "octoprint_spy.py").read_text(encoding="utf-8")

TOKEN = "a1b2c3d4e5f60718293a"
NEW_TOKEN = "00112233445566778899"
NOBODY = "http://127.0.0.1:1"
OURS = ("obico-core", "obico-link", "obico-commands", "obico-snapshots")


class _Linking(BaseHTTPRequestHandler):
    """As much of a server as linking needs; the one code that it knows is 042137."""

    def do_POST(self) -> None:
        known = "code=042137" in self.path
        printer = {"id": 7, "name": "Shelf <b>2</b>", "auth_token": NEW_TOKEN}
        answer: dict[str, Any] = {"printer": printer} if known else {"detail": "Requested resource does not exist"}
        body = json.dumps(answer).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def linking_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Linking)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def threads(host: OctoPrintHost) -> list[str]:
    return sorted(name for name in host.get("/api/plugin/spy")["threads"] if name.startswith("obico"))


def unexpected(host: OctoPrintHost) -> list[str]:
    """Complaints but for those that these tests provoke: nobody answers at the addresses of server and camera."""
    return [line for line in complaints(host) if "127.0.0.1:1" not in line and "CSRF validation failed" not in line]


def said(host: OctoPrintHost) -> dict[str, Any]:
    """What became of the last order, once it is done."""

    def look() -> Any:
        status = host.get("/api/plugin/obico")
        return status["said"] if status["busy"] is None else None

    found = wait_until(look, 20, "an answer on the settings page")
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_loads_keeps_the_token_secret_and_leaves_nothing_running(version: str, tmp_path: Path) -> None:
    settings = {
        "auth_token": TOKEN, "endpoint_prefix": f"{NOBODY}/", "sentry_opt": "out", "pi_cam_resolution": "medium",
    }  # fmt: skip
    with octoprint(version, tmp_path, plugin_settings=settings, plugins={"spy": SPY}) as host:
        wait_until(lambda: threads(host) == sorted(OURS), 20, "the agent's four threads")

        status = host.get("/api/plugin/obico")
        assert (status["linked"], status["connected"]) == (True, False)
        assert "127.0.0.1:1" in status["reason"]

        # The token is in no answer, whoever asks.
        paths = ["/api/settings", "/api/plugin/obico", "/", "/api/plugin/pluginmanager", "/api/users", "/plugin/obico/"]
        for path in paths:
            for key in (True, False):
                assert TOKEN not in host.request("GET", path, key=key)[1]
        assert "auth_token" not in host.get("/api/settings")["plugins"]["obico"]
        assert host.request("GET", "/api/plugin/obico", key=False)[0] == 403

        # Saving the settings as a browser does leaves it alone, and keys that are not ours too.
        host.post("/api/settings", {"plugins": {"obico": {"auth_token": None, "disable_video_streaming": True}}})
        host.post("/api/settings", {"plugins": {"obico": {"auth_token": "***"}}})
        config = (tmp_path / "config.yaml").read_text(encoding="utf-8")
        assert TOKEN in config
        assert "_config_version: 3" in config
        assert f"endpoint_prefix: {NOBODY}\n" in config  # mended: OctoPrint asked for the settings' form of today
        assert "pi_cam_resolution: medium" in config
        assert "disable_video_streaming: true" in config
        assert TOKEN not in host.log.read_text(encoding="utf-8")

        # What other plugins, bug reports and the update check get.
        seen = host.get("/api/plugin/spy")
        assert seen["helpers"]["connected"] is False
        assert seen["helpers"]["status"]["linked"] is True
        assert seen["updates"] == {}
        assert json.loads(seen["bundle"])["running"] is True
        assert TOKEN not in json.dumps(seen)
        system = host.get("/api/system/info")["systeminfo"]
        assert system["env.plugins.obico.linked"] is True
        check_who_may_do_what(host)

        # Off and on again.
        host.post("/api/plugin/pluginmanager", {"command": "disable", "plugin": "obico"})
        wait_until(lambda: threads(host) == [], 10, "all of our threads to end")
        host.post("/api/plugin/pluginmanager", {"command": "enable", "plugin": "obico"})
        wait_until(lambda: threads(host) == sorted(OURS), 10, "the agent's four threads again")
        host.post("/api/plugin/pluginmanager", {"command": "disable", "plugin": "obico"})
        wait_until(lambda: threads(host) == [], 10, "all of our threads to end")
        assert unexpected(host) == []

        # OctoPrint itself leaves it out from its next start on.
        host.stop()
        host.start()
        assert threads(host) == []
        assert host.request("GET", "/api/plugin/obico")[0] == 404
        assert unexpected(host) == []


def check_who_may_do_what(host: OctoPrintHost) -> None:
    """Permissions of our own, and OctoPrint's guard against requests that some other page has made."""
    keys = {entry["key"]: entry for entry in host.get("/api/access/permissions")["permissions"]}
    assert {"PLUGIN_OBICO_VIEW", "PLUGIN_OBICO_CONTROL", "PLUGIN_OBICO_ADMIN"} <= set(keys)
    assert [keys[f"PLUGIN_OBICO_{key}"]["dangerous"] for key in ("VIEW", "CONTROL", "ADMIN")] == [False, False, True]
    host.post("/api/access/users", {"name": "kid", "password": "kid", "active": True, "groups": ["readonly"]})
    cookies = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(cookies)
    )

    def send(path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        token = next((cookie.value for cookie in cookies if cookie.name.startswith("csrf_token")), None)
        headers = {"Content-Type": "application/json", **({"X-CSRF-Token": token} if token and guarded else {})}
        data = None if body is None else json.dumps(body).encode()
        try:
            with browser.open(urllib.request.Request(host.url + path, data, headers), timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {}

    guarded = True
    browser.open(host.url + "/login/", timeout=20).close()  # brings the cookie of the guard
    assert send("/api/login", {"user": "kid", "pass": "kid"})[0] == 200
    status, seen = send("/api/plugin/obico")
    assert (status, seen["linked"], "cameras" in seen) == (200, True, False)
    for order in ({"command": "resume"}, {"command": "mute"}, {"command": "unlink"}):
        assert send("/api/plugin/obico", order)[0] == 403
    assert send("/api/plugin/obico?bundle=1")[0] == 403
    assert send("/plugin/obico/pause/1.jpg")[0] in {403, 404}
    guarded = False
    assert send("/api/plugin/obico", {"command": "resume"})[0] == 400


@pytest.mark.parametrize("version", VERSIONS)
def test_links_and_unlinks_with_clear_words(version: str, tmp_path: Path, linking_server: str) -> None:
    with octoprint(version, tmp_path, plugins={"spy": SPY}) as host:

        def order(**body: Any) -> tuple[int, Any]:
            status, text = host.request("POST", "/api/plugin/obico", body)
            return status, json.loads(text)

        wait_until(lambda: host.request("GET", "/api/plugin/obico")[0] == 200, 20, "the plugin to begin")
        wait_until(lambda: not threads(host), 10, "the start-up to be over")
        assert host.get("/api/plugin/obico")["linked"] is False

        for server, code, words in (
            ("ftp://example.org", "042137", "must begin with http:// or https://"),
            (linking_server, "not a code", "six digits"),
            ("http://u:p@example.org", "042137", "must not contain a user name or password"),
            ({"a": 1}, [2], "server address"),
        ):
            status, answer = order(command="link", server=server, code=code)
            assert (status, words in answer["error"]) == (400, True), answer

        order(command="link", server=linking_server, code="111111")
        assert "does not know this code" in said(host)["text"]
        order(command="link", server=NOBODY, code="042137")
        assert said(host)["ok"] is False

        status, _ = order(command="link", server=linking_server, code=" 042-137 ")
        assert status == 202
        assert said(host) == {"ok": True, "text": f"Linked to {linking_server} as “Shelf <b>2</b>”."}
        wait_until(lambda: threads(host) == sorted(OURS), 10, "the agent to start")
        wait_until(lambda: host.get("/api/plugin/obico")["needs_person"], 10, "the refusal of the token to show")
        assert NEW_TOKEN in (tmp_path / "config.yaml").read_text(encoding="utf-8")
        assert NEW_TOKEN not in host.request("GET", "/api/plugin/obico")[1]

        order(command="unlink")
        assert said(host)["ok"] is True
        wait_until(lambda: threads(host) == [], 10, "the agent to end")
        assert NEW_TOKEN not in (tmp_path / "config.yaml").read_text(encoding="utf-8")
        assert order(command="test_camera", name="no such")[0] == 400
        assert host.get("/api/plugin/spy")["events"] == ["linked", "unlinked"]
        assert NEW_TOKEN not in host.log.read_text(encoding="utf-8")


STATUS_FILE = "\n".join(
    ["M220 S110", "M221 S95", "M106 S51", "M117 Hello there", "G28", "G90", "M83", "G1 Z4.2 F600", "M104 S195"]
    + [f"G1 X{number % 50} E0.1 F3600" for number in range(3000)]
)


@pytest.mark.parametrize("version", VERSIONS)
def test_status_of_a_real_print(version: str, tmp_path: Path) -> None:
    settings = {"auth_token": TOKEN, "endpoint_prefix": NOBODY}
    with octoprint(
        version,
        tmp_path,
        plugin_settings=settings,
        plugins={"spy": SPY},
        snapshot_url="http://127.0.0.1:1/pic.jpg",
        virtual_printer={"throttle": 0.01},
    ) as host:

        def look() -> dict[str, Any]:
            found = host.get("/api/plugin/spy")["status"] or {}
            assert isinstance(found, dict)
            return found

        def until(what: str, **wanted: Any) -> dict[str, Any]:
            def seen() -> Any:
                found = look()
                state = found.get("status", {}).get("state", {})
                ok = state.get("text") == wanted.get("text") and found.get("current_print_ts") == wanted.get(
                    "ts", found.get("current_print_ts")
                )
                return found if ok else None

            found = wait_until(seen, 30, what)
            assert isinstance(found, dict)
            return found

        idle = until("an idle printer", text="Operational", ts=-1)
        flags = idle["status"]["state"]["flags"]
        assert (flags["ready"], flags["printing"], flags["operational"]) == (True, False, True)
        wait_until(lambda: look()["settings"]["metadata"], 20, "the printer's firmware data")
        about = look()["settings"]
        assert about["cameras"] == ["Classic Webcam"]
        assert [profile["name"] for profile in about["profiles"]] == ["ABS", "PLA"]
        assert about["metadata"]["FIRMWARE_NAME"] == "Virtual Marlin 1.0"
        assert about["extra"]["octoprint_version"].startswith(version)
        assert "Obico" in about["plugins"]

        host.upload("status.gcode", STATUS_FILE.encode(), start=True)
        until("a print", text="Printing")

        def full() -> Any:
            found = look()["status"]
            heat = found["temperatures"].get("tool0", {})
            seen = found["progress"]["completion"] and found["currentFanSpeed"] is not None and heat.get("actual")
            return found if seen and heat["target"] else None

        status = wait_until(full, 30, "the progress of the print")
        ts = look()["current_print_ts"]
        assert isinstance(ts, int)
        assert ts > 1_700_000_000
        file = status["job"]["file"]
        assert (file["name"], file["path"], file["origin"]) == ("status.gcode", "status.gcode", "local")
        assert file["size"] == len(STATUS_FILE)
        assert (status["currentFeedRate"], status["currentFlowRate"], status["currentFanSpeed"]) == (1.1, 0.95, 0.2)
        assert status["display_status"]["message"] == "Hello there"
        assert status["currentZ"] == 4.2
        assert set(status["temperatures"]) == {"tool0", "bed"}
        assert status["temperatures"]["tool0"]["target"] == 195.0
        if version == "1.11":  # 2.0 keeps no hash any more
            wait_until(lambda: len(look()["status"]["file_metadata"].get("hash", "")) == 40, 10, "the file's hash")

        host.job("pause", action="pause")
        paused = until("the pause", text="Paused", ts=ts)
        flags = paused["status"]["state"]["flags"]
        assert (flags["paused"], flags["printing"], flags["ready"]) == (True, False, False)
        host.job("pause", action="resume")
        until("the print again", text="Printing", ts=ts)
        host.job("cancel")
        until("the end", text="Operational", ts=-1)
        host.disconnect()
        until("the printer to be away", text="Offline")
        assert unexpected(host) == []
