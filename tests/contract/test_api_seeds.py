"""The API documents that the project was created from, row by row (docs/api-coverage.md): a real server, an agent on a
real WebSocket, a program with the owner's session. Every answer is held against the OpenAPI document besides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from reference_server.services.detection.model import Shot
from tests.covers import covers
from tests.unit.reference_server.live_server import LiveServer, Owner, Socket, running, wait_until
from tests.unit.reference_server.support import jpeg

TS = 1_790_000_000
AT = datetime(2026, 9, 22, 10, 0, tzinfo=timezone.utc)
WRITTEN = "2026-09-22T10:00:00.000000Z"

FLAGS = {
    "operational": True, "paused": False, "printing": True, "pausing": False, "resuming": False, "finishing": False,
    "cancelling": False, "sdReady": True, "error": False, "ready": False, "closedOrError": False,
}  # fmt: skip
STATUS: dict[str, Any] = {
    "_ts": TS + 60.0,
    "state": {"text": "Printing", "flags": FLAGS, "error": None},
    "job": {
        "file": {"name": "cube.gcode", "path": "cube.gcode"}, "estimatedPrintTime": 1200.5, "lastPrintTime": 1180.0,
        "filament": {"length": 2513.4, "volume": 6.04},
    },
    "progress": {
        "completion": 32.5, "filepos": 91234, "printTime": 400, "printTimeLeft": 800, "printTimeLeftOrigin": "linear",
    },
    "temperatures": {
        "tool0": {"actual": 214.8, "target": 215.0, "offset": 0},
        "bed": {"actual": 60.1, "target": None, "offset": 5},
    },
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "agent": {"name": "octoprint_obico", "version": "3.0.0"},
    "webcams": [{
        "name": "c", "is_primary_camera": True, "flipV": True, "flipH": False, "rotation": 90, "streamRatio": "4:3",
    }],
    "temperature": {"profiles": [{"name": "PLA", "extruder": 205, "bed": 60, "chamber": None}]},
}  # fmt: skip


class Shop:
    """An owner with one printer, its agent, and prints by name."""

    def __init__(self, server: LiveServer, name: str) -> None:
        self.server = server
        self.owner = Owner(server, name)
        made = self.owner.link()
        self.id: int = made["id"]
        self.token: str = made["auth_token"]
        self.agent: Socket = self.owner.agent(made)
        self.agent.receive()
        self.url = f"/api/v1/printers/{self.id}/"
        self._ts = TS

    def get(self, url: str) -> Any:
        answer = self.owner.http.get(url)
        assert answer.status_code == 200, (url, answer.text)
        return answer.json()

    @property
    def printer(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get(self.url)
        return found

    def say(self, event: str | None = None, *, status: Any = None, settings: Any = None, **data: Any) -> None:
        """One status message of the agent, as if the printer printed cube.gcode (or `name`)."""
        frame: dict[str, Any] = {"current_print_ts": self._ts, "status": status or {**STATUS, "_ts": self._ts + 1.0}}
        if event is not None:
            frame["event"] = {"event_type": event, "data": {"name": "cube.gcode", **data}}
        if settings is not None:
            frame["settings"] = settings
        self.agent.send(frame)

    def start(self, name: str = "cube.gcode") -> dict[str, Any]:
        """A new print; the Print."""
        self._ts += 100
        self.say("PrintStarted", name=name)
        wait_until(lambda: (self.printer["current_print"] or {}).get("filename") == name)
        found: dict[str, Any] = self.printer["current_print"]
        return found

    def end(self, event: str = "PrintDone") -> None:
        self.say(event)
        self._say_idle()

    def _say_idle(self) -> None:
        self.agent.send({"current_print_ts": -1, "status": {**STATUS, "_ts": self._ts + 2.0}})
        wait_until(lambda: self.printer["current_print"] is None)

    def store(self) -> Any:
        return self.server.app.state.context.history._store.write()

    def post(self, url: str, **more: Any) -> Any:
        answer = self.owner.http.post(url, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("seeds")) as found:
        yield found


@pytest.fixture
def shop(server: LiveServer, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(server, request.node.name.replace("_", "-")[:60])
    yield made
    made.agent.close()
    wait_until(lambda: not made.printer["agent_connected"] if made.owner.http.get(made.url).is_success else True)
    made.owner.close()


# --- seeds 000 and 001: prints --------------------------------------------------------------------------------------


@covers(
    "GET /api/v1/prints/", "GET /api/v1/prints/ → 200", "GET /api/v1/prints/ ?filter",
    "GET /api/v1/prints/ ?filter={cancelled,finished,need_alert_overwrite,need_print_shot_feedback}",
    "GET /api/v1/prints/ ?{sorting,start,limit}", "GET /api/v1/prints/ ?sorting={date_desc,date_asc}",
)  # fmt: skip
def test_prints_are_listed_filtered_sorted_and_paged(shop: Shop) -> None:
    for name, event in (("a.gcode", "PrintDone"), ("b.gcode", "PrintCancelled"), ("c.gcode", "PrintDone")):
        shop.start(name)
        shop.end(event)

    def names(query: str) -> list[str]:
        return [job["filename"] for job in shop.get(f"/api/v1/prints/?sorting=date_asc&{query}")]

    assert names("") == ["a.gcode", "b.gcode", "c.gcode"]
    newest_first = shop.get("/api/v1/prints/?sorting=date_desc")
    assert [job["filename"] for job in newest_first] == ["c.gcode", "b.gcode", "a.gcode"]
    assert names("filter=cancelled") == ["b.gcode"]
    assert names("filter=finished") == ["a.gcode", "c.gcode"]
    assert (names("start=1"), names("limit=1"), names("start=1&limit=1")) == (
        ["b.gcode", "c.gcode"], ["a.gcode"], ["b.gcode"],
    )  # fmt: skip
    first = shop.get("/api/v1/prints/?sorting=date_asc&limit=1")[0]
    shop.owner.http.patch(f"/api/v1/prints/{first['id']}/", json={"alert_overwrite": "NOT_FAILED"})
    assert names("filter=need_alert_overwrite") == ["b.gcode", "c.gcode"]
    assert names("filter=need_print_shot_feedback") == []
    with shop.store() as tx:
        for seconds in (1, 2):
            tx.detection.add_shot(Shot(0, first["id"], f"shots/{first['id']}/{seconds}.jpg", 0.5, AT, chosen=True))
    assert names("filter=need_print_shot_feedback") == ["a.gcode"]
    shot = shop.get(f"/api/v1/printshotfeedbacks/?print_id={first['id']}")[0]
    shop.owner.http.put(f"/api/v1/printshotfeedbacks/{shot['id']}/", json={"answer": "LOOKS_OK"})
    assert names("filter=need_print_shot_feedback") == []  # the seed: none of them has `answer` set
    for bad in ("filter=x", "sorting=x", "start=-1", "limit=x"):
        assert shop.owner.http.get(f"/api/v1/prints/?{bad}").status_code == 400


@covers("GET /api/v1/print/{id}/", "GET /api/v1/print/{id}/ → {200,404}")
def test_one_print(shop: Shop) -> None:
    job = shop.start()
    assert shop.get(f"/api/v1/print/{job['id']}/") == shop.get(f"/api/v1/prints/{job['id']}/")
    assert shop.get(f"/api/v1/print/{job['id']}")["filename"] == "cube.gcode"
    assert shop.owner.http.get("/api/v1/print/999999/").status_code == 404


PRINT_READ_ONLY = {
    "id": 7, "printer": 7, "filename": "x", "started_at": WRITTEN, "finished_at": WRITTEN, "cancelled_at": WRITTEN,
    "uploaded_at": WRITTEN, "alerted_at": WRITTEN, "alert_acknowledged_at": WRITTEN, "alert_muted_at": WRITTEN,
    "paused_at": WRITTEN, "video_url": "http://x/", "tagged_video_url": "http://x/", "poster_url": "http://x/",
    "prediction_json_url": "http://x/",
}  # fmt: skip


@covers(
    "PATCH /api/v1/prints/{id}/", "PATCH /api/v1/prints/{id}/ → {200,404}",
    "PATCH /api/v1/prints/{id}/ read-only {id,printer,filename,started_at,finished_at,cancelled_at,uploaded_at}",
    "PATCH /api/v1/prints/{id}/ read-only {alert_acknowledged_at,alert_muted_at,paused_at,video_url,tagged_video_url}",
    "PATCH /api/v1/prints/{id}/ read-only {alerted_at,poster_url,prediction_json_url}",
    "Print.alert_overwrite", "Print.alert_overwrite={FAILED,NOT_FAILED}",
)  # fmt: skip
def test_a_print_is_changed_but_for_its_read_only_fields(shop: Shop) -> None:
    url = f"/api/v1/prints/{shop.start()['id']}/"
    for word in ("FAILED", "NOT_FAILED", None):
        answer = shop.owner.http.patch(url, json={"alert_overwrite": word})
        assert (answer.status_code, answer.json()["alert_overwrite"]) == (200, word)
    before = shop.get(url)
    for field, value in PRINT_READ_ONLY.items():
        answer = shop.owner.http.patch(url, json={field: value})
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert shop.get(url) == before
    assert shop.owner.http.patch(url, json=before).status_code == 200  # a whole object sent back
    assert shop.owner.http.patch("/api/v1/prints/999999/", json={"alert_overwrite": "FAILED"}).status_code == 404


@covers(
    "DELETE /api/v1/prints/{id}/", "DELETE /api/v1/prints/{id}/ → {200,404}",
    "GET /api/v1/prints/{id}/prediction_json", "GET /api/v1/prints/{id}/prediction_json → {200,404}",
)  # fmt: skip
def test_predictions_of_a_print_and_its_end(shop: Shop) -> None:
    job = shop.start()
    url = f"/api/v1/prints/{job['id']}/"
    assert shop.get(url + "prediction_json") == []
    assert shop.owner.http.get("/api/v1/prints/999999/prediction_json").status_code == 404
    gone = shop.owner.http.delete(url)
    assert (gone.status_code, gone.content) == (200, b"")
    for again in (shop.owner.http.delete(url), shop.owner.http.get(url), shop.owner.http.get(url + "prediction_json")):
        assert again.status_code == 404


# --- seed 002: printers ---------------------------------------------------------------------------------------------


@covers("GET /api/v1/printers/", "GET /api/v1/printers/ → 200", "GET /api/v1/printers/ ?with_archived")
def test_printers_are_listed_archived_ones_on_request(shop: Shop) -> None:
    assert [each["id"] for each in shop.get("/api/v1/printers/")] == [shop.id]
    assert shop.owner.http.post(shop.url + "archive/").status_code == 204
    assert (shop.get("/api/v1/printers/"), shop.get("/api/v1/printers/?with_archived=false")) == ([], [])
    assert [each["id"] for each in shop.get("/api/v1/printers/?with_archived=true")] == [shop.id]
    shop.owner.http.post(shop.url + "unarchive/")


PRINTER_READ_ONLY = {
    "id": 7, "created_at": WRITTEN, "not_watching_reason": "x", "pic": {"img_url": "http://x/"}, "status": {},
    "settings": {}, "current_print": {}, "normalized_p": 0.7, "auth_token": "x",
}  # fmt: skip
PRINTER_WRITABLE = {
    "name": "Workshop", "action_on_failure": "NONE", "watching_enabled": False, "tools_off_on_pause": False,
    "bed_off_on_pause": True, "retract_on_pause": 0.0, "lift_z_on_pause": 7.5, "detective_sensitivity": 1.2,
}  # fmt: skip


@covers(
    "GET /api/v1/printers/{id}/", "GET /api/v1/printers/{id}/ → {200,404}",
    "PATCH /api/v1/printers/{id}/", "PATCH /api/v1/printers/{id}/ → {200,404}",
    "PATCH /api/v1/printers/{id}/ read-only {id,created_at,not_watching_reason,pic,status,settings,current_print}",
    "PATCH /api/v1/printers/{id}/ read-only {normalized_p,auth_token}",
    "Printer.{name,action_on_failure,watching_enabled,tools_off_on_pause,bed_off_on_pause,retract_on_pause}",
    "Printer.{lift_z_on_pause,detective_sensitivity}", "Printer.action_on_failure={PAUSE,NONE}",
)  # fmt: skip
def test_a_printer_is_changed_but_for_its_read_only_fields(shop: Shop) -> None:
    assert shop.printer["action_on_failure"] == "PAUSE"
    for field, value in PRINTER_WRITABLE.items():
        answer = shop.owner.http.patch(shop.url, json={field: value})
        assert (answer.status_code, answer.json()[field], answer.json()["printer"][field]) == (200, value, value)
    assert {field: shop.printer[field] for field in PRINTER_WRITABLE} == PRINTER_WRITABLE
    for field, value in PRINTER_READ_ONLY.items():
        answer = shop.owner.http.patch(shop.url, json={field: value})
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    for field, value in (
        ("detective_sensitivity", 0.79), ("detective_sensitivity", 1.21), ("retract_on_pause", -1),
        ("action_on_failure", "EXPLODE"),
    ):  # fmt: skip
        assert shop.owner.http.patch(shop.url, json={field: value}).status_code == 400
    for method in ("GET", "PATCH"):
        assert shop.owner.http.request(method, "/api/v1/printers/999999/").status_code == 404


@covers("DELETE /api/v1/printers/{id}/", "DELETE /api/v1/printers/{id}/ → {200,404}")
def test_a_printer_is_deleted(shop: Shop) -> None:
    gone = shop.owner.http.delete(shop.url)
    assert (gone.status_code, gone.content) == (200, b"")
    assert shop.owner.http.delete(shop.url).status_code == 404


@covers(
    "POST /api/v1/printers/{id}/{cancel_print,pause_print,resume_print}",
    "POST /api/v1/printers/{id}/{cancel_print,pause_print,resume_print} → {200,404}",
    "POST /api/v1/printers/{id}/{cancel_print,pause_print,resume_print} answer {succeeded,printer}",
)  # fmt: skip
def test_commands_reach_the_agent(shop: Shop) -> None:
    for action in ("pause_print", "resume_print", "cancel_print"):
        idle = shop.post(shop.url + action)
        assert (idle["succeeded"], idle["printer"]["id"]) == (False, shop.id)
    shop.start()
    for action in ("pause_print", "resume_print", "cancel_print"):
        answer = shop.post(shop.url + action)
        assert (answer["succeeded"], answer["printer"]["id"]) == (True, shop.id)
        sent = shop.agent.until(lambda frame: "commands" in frame)["commands"]
        assert [command["cmd"] for command in sent] == [action.removesuffix("_print")]
        assert shop.owner.http.post(f"/api/v1/printers/999999/{action}").status_code == 404


@covers(
    "POST /api/v1/printers/{id}/{mute_current_print,acknowledge_alert}",
    "POST /api/v1/printers/{id}/{mute_current_print,acknowledge_alert} → {200,404}",
    "POST /api/v1/printers/{id}/{mute_current_print,acknowledge_alert} answer {succeeded,printer}",
    "Printer.not_watching_reason",
    "Printer.not_watching_reason={AI failure detection is disabled,You have run out of AI Detection Hours}",
    "Printer.not_watching_reason={Printer is not actively printing,Alerts are muted for current print}",
    "User.dh_balance", "Print.{alerted_at,alert_acknowledged_at,alert_muted_at}",
    "PrinterEvent.event_type={ALERT_MUTED,ALERT_UNMUTED}",
)  # fmt: skip
def test_muting_acknowledging_and_why_a_print_is_not_watched(shop: Shop) -> None:
    for action in ("mute_current_print", "acknowledge_alert"):
        answer = shop.post(shop.url + action)
        assert (answer["succeeded"], answer["printer"]["id"]) == (False, shop.id)
        assert shop.owner.http.post(f"/api/v1/printers/999999/{action}").status_code == 404
    assert shop.printer["not_watching_reason"] == "Printer is not actively printing"
    job = shop.start()
    watched = shop.printer
    assert watched["not_watching_reason"] is None
    muted = shop.post(shop.url + "mute_current_print")
    assert (muted["succeeded"], muted["printer"]["current_print"]["alert_muted_at"] is None) == (True, False)
    assert shop.printer["not_watching_reason"] == "Alerts are muted for current print"
    shop.post(shop.url + "mute_current_print?mute_alert=false")
    with shop.store() as tx:
        tx.prints.save(replace(tx.prints.get(job["id"]), alerted_at=AT))
    answer = shop.post(shop.url + "acknowledge_alert?alert_overwrite=FAILED")
    assert answer["succeeded"] is True
    shown = shop.get(f"/api/v1/prints/{job['id']}/")
    assert (shown["alerted_at"], shown["alert_acknowledged_at"] is None) == (WRITTEN, False)
    assert shown["alert_overwrite"] == "FAILED"
    kinds = {event["event_type"] for event in shop.get("/api/v1/printer_events/?limit=50")}
    assert {"ALERT_MUTED", "ALERT_UNMUTED"} <= kinds
    shop.owner.http.patch(shop.url, json={"watching_enabled": False})
    assert shop.printer["not_watching_reason"] == "AI failure detection is disabled"
    shop.owner.http.patch(shop.url, json={"watching_enabled": True})
    assert shop.get("/api/v1/users/me/")["dh_balance"] > 1000
    with closing(sqlite3.connect(shop.server.config.database)) as database:
        database.execute("UPDATE users SET dh_balance = 0 WHERE name = ?", (shop.owner.name,))
        database.commit()
    shop.owner.http.patch(shop.url, json={"name": "again"})
    assert shop.get("/api/v1/users/me/")["dh_balance"] == 0
    assert shop.printer["not_watching_reason"] == "You have run out of AI Detection Hours"


# --- seed 003: objects ----------------------------------------------------------------------------------------------


@covers(
    "Printer", "Printer.{id,created_at,pic,status,settings,current_print,normalized_p,auth_token}",
    "Printer.pic.img_url", "PrinterStatus", "PrinterStatus.{state,job,progress,temperatures}",
    "State", "State.{text,flags}",
    "State.flags.{operational,paused,printing,pausing,cancelling,sdReady,error,ready,closedOrError}",
    "Job", "Job.{estimatedPrintTime,lastPrintTime,filament}", "Job.filament.{length,volume}",
    "JobProgress", "JobProgress.{completion,filepos,printTime,printTimeLeft,printTimeLeftOrigin}",
    "JobProgress.printTimeLeftOrigin={linear,analysis,estimate,average,mixed-analysis,mixed-average}",
    "Temperatures", "Temperature", "Temperature.{actual,target,offset}",
    "TemperatureProfile", "TemperatureProfile.{actual,target,offset}",
)  # fmt: skip
def test_a_printer_shows_what_its_agent_says(shop: Shop) -> None:
    offline = shop.printer
    assert (offline["status"], offline["current_print"], offline["pic"]) == (None, None, None)
    assert (offline["id"], offline["auth_token"]) == (shop.id, shop.token)
    assert datetime.fromisoformat(offline["created_at"].replace("Z", "+00:00")) <= datetime.now(timezone.utc)
    job = shop.start()
    headers = {"Authorization": f"Token {shop.token}"}
    sent = shop.owner.http.post("/api/v1/octo/pic/", files={"pic": ("pic", jpeg(32, 16))}, headers=headers)
    assert sent.status_code == 200
    for origin in ("linear", "analysis", "estimate", "average", "mixed-analysis", "mixed-average"):
        progress = {**STATUS["progress"], "printTimeLeftOrigin": origin}
        shop.say(status={**STATUS, "progress": progress})
        wait_until(lambda: shop.printer["status"]["progress"] == progress)  # noqa: B023 - it is called in the same round
    shown = shop.printer
    assert shown["status"] == {**STATUS, "progress": progress}
    assert shown["current_print"]["id"] == job["id"]
    assert 0 <= shown["normalized_p"] <= 1
    assert shop.owner.http.get(shown["pic"]["img_url"]).content == jpeg(32, 16)


@covers(
    "PrinterSettings",
    "PrinterSettings.{webcam_flipV,webcam_flipH,webcam_streamRatio,webcam_rotation,agent_name,agent_version,temp_profiles}",
)
def test_settings_are_those_of_the_agent(shop: Shop) -> None:
    before = shop.printer["settings"]
    assert (before["webcam_rotation"], before["webcam_streamRatio"], before["temp_profiles"]) == (0, "16:9", [])
    shop.say(settings=SETTINGS)
    wait_until(lambda: shop.printer["settings"]["agent_name"] == "octoprint_obico")
    shown = shop.printer["settings"]
    assert (shown["webcam_flipV"], shown["webcam_flipH"]) == (True, False)
    assert (shown["webcam_streamRatio"], shown["webcam_rotation"]) == ("4:3", 90)
    assert (shown["agent_version"], shown["temp_profiles"]) == ("3.0.0", SETTINGS["temperature"]["profiles"])


@covers(
    "Print", "Print.{id,printer,filename,started_at,finished_at,cancelled_at,uploaded_at,paused_at,video_url}",
    "Print.{tagged_video_url,poster_url,prediction_json_url,printshotfeedback_set}",
)  # fmt: skip
def test_a_print_has_every_field(shop: Shop) -> None:
    job = shop.start()
    assert (job["printer"], job["filename"]) == (shop.id, "cube.gcode")
    later = ("finished_at", "cancelled_at", "uploaded_at", "paused_at", "video_url", "tagged_video_url", "poster_url")
    assert all(job[field] is None for field in later)
    shop.end()
    done = shop.get(f"/api/v1/prints/{job['id']}/")
    assert (done["started_at"] <= done["finished_at"], done["cancelled_at"]) == (True, None)
    second = shop.start("b.gcode")
    shop.end("PrintCancelled")
    cancelled = shop.get(f"/api/v1/prints/{second['id']}/")
    assert (cancelled["finished_at"], cancelled["cancelled_at"] is None) == (None, False)
    media = {"video_path": "v.mp4", "tagged_video_path": "t.mp4", "poster_path": "p.jpg"}
    with shop.store() as tx:
        tx.prints.save(replace(tx.prints.get(job["id"]), uploaded_at=AT, paused_at=AT, **media))
        tx.detection.add_shot(Shot(0, job["id"], f"shots/{job['id']}/1.jpg", 0.5, AT, chosen=True))
    shown = shop.get(f"/api/v1/prints/{job['id']}/")
    assert (shown["uploaded_at"], shown["paused_at"]) == (WRITTEN, WRITTEN)
    for field, path in (("video_url", "v.mp4"), ("tagged_video_url", "t.mp4"), ("poster_url", "p.jpg")):
        assert shown[field].startswith(f"{shop.server.base}/media/{path}?")
    assert shop.get(shown["prediction_json_url"]) == []
    assert [shot["print_id"] for shot in shown["printshotfeedback_set"]] == [job["id"]]


@covers(
    "PrintShotFeedback", "PrintShotFeedback.{id,print_id,image_url,answer,answered_at}",
    "PrintShotFeedback.answer={LOOKS_BAD,LOOKS_OK,UNANSWERED}",
)  # fmt: skip
def test_feedback_to_shots(shop: Shop) -> None:
    job = shop.start()
    with shop.store() as tx:
        tx.detection.add_shot(Shot(0, job["id"], f"shots/{job['id']}/1.jpg", 0.5, AT, chosen=True))
    (shot,) = shop.get(f"/api/v1/printshotfeedbacks/?print_id={job['id']}")
    assert (shot["print_id"], shot["answer"], shot["answered_at"]) == (job["id"], None, None)
    assert f"/media/shots/{job['id']}/1.jpg?" in shot["image_url"]
    for word in ("LOOKS_BAD", "LOOKS_OK", "UNANSWERED"):
        answer = shop.owner.http.put(f"/api/v1/printshotfeedbacks/{shot['id']}/", json={"answer": word}).json()
        assert (answer["id"], answer["answer"], answer["answered_at"] is None) == (shot["id"], word, False)
    assert shop.owner.http.put(f"/api/v1/printshotfeedbacks/{shot['id']}/", json={"answer": "X"}).status_code == 400


@covers("GCodeFile", "GCodeFile.{id,user,filename,safe_filename,url,num_bytes}", "User", "User.{email,consented_at}")
def test_files_and_the_user(shop: Shop) -> None:
    content = b"G28\nG1 X10 Y10\n"
    sent = shop.owner.http.post("/api/v1/g_code_files/", files={"file": ("my part.gcode", content)})
    assert sent.status_code in {200, 201}
    file, user = sent.json(), shop.get("/api/v1/users/me/")
    assert shop.get(f"/api/v1/g_code_files/{file['id']}/")["filename"] == "my part.gcode"
    assert (file["user"], file["filename"], file["safe_filename"]) == (user["id"], "my part.gcode", "my_part.gcode")
    assert (file["num_bytes"], shop.owner.http.get(file["url"]).content) == (len(content), content)
    assert user["consented_at"] is not None
    changed = shop.owner.http.patch("/api/v1/users/me/", json={"email": "a@example.org"})
    assert changed.json()["email"] == "a@example.org"


@covers(
    "PrinterEvent", "PrinterEvent.{id,print,printer,event_type,event_class,event_title,event_text,image_url,info_url}",
    "PrinterEvent.created_at", "PrinterEvent.event_type={STARTED,ENDED,PAUSED,RESUMED,FAILURE_ALERTED,FILAMENT_CHANGE}",
    "PrinterEvent.event_type=PRINTER_ERROR", "PrinterEvent.event_class={ERROR,WARNING,SUCCESS,INFO}",
)  # fmt: skip
def test_events_of_each_kind_and_class(shop: Shop) -> None:
    job = shop.start()
    shop.say("PrintPaused")
    shop.say("PrintResumed")
    headers = {"Authorization": f"Token {shop.token}"}
    for kind, event_class in (("FILAMENT_CHANGE", ""), ("PRINTER_ERROR", "ERROR"), ("FAILURE_ALERTED", "")):
        form = {"event_type": kind, "event_class": event_class, "event_title": "", "event_text": f"text of {kind}",
                "info_url": "https://example.org/help"}  # fmt: skip
        files = {"snapshot": ("s.jpg", jpeg())}
        assert shop.owner.http.post("/api/v1/octo/printer_events/", data=form, files=files, headers=headers).is_success
    shop.end()
    events = {event["event_type"]: event for event in shop.get("/api/v1/printer_events/?limit=50")}
    classes = {kind: event["event_class"] for kind, event in events.items()}
    assert classes == {
        "STARTED": "INFO", "PAUSED": "INFO", "RESUMED": "INFO", "ENDED": "SUCCESS", "FILAMENT_CHANGE": "WARNING",
        "PRINTER_ERROR": "ERROR", "FAILURE_ALERTED": "ERROR",
    }  # fmt: skip
    assert all((event["printer"], event["print"]) == (shop.id, job["id"]) for event in events.values())
    assert events["ENDED"]["event_title"] == "Print Job Finished"
    change = events["FILAMENT_CHANGE"]
    assert (change["event_title"], change["event_text"]) == ("Filament Change Required", "text of FILAMENT_CHANGE")
    assert change["info_url"] == "https://example.org/help"
    assert shop.owner.http.get(change["image_url"]).content == jpeg()
    assert change["id"] > events["STARTED"]["id"]
    assert change["created_at"] >= events["STARTED"]["created_at"]
