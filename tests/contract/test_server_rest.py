"""The server's REST API as agents, pages and programs meet it (wire-protocol.md §2, §4, §6; rest-decisions.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from agent_core.wire.messages import EventType, PrintEvent, StatusMessage
from reference_server.services.tracking import Tracking
from tests.unit.reference_server.support import PASSWORD, Person, jpeg, make_app, make_config, run

TS = 1_795_198_385


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    made = make_app(tmp_path)
    yield made
    made.state.context.check_store.__self__.close()


def tracking(app: FastAPI) -> Tracking:
    found: Tracking = app.state.context.agent_socket._tracking
    return found


def start_print(app: FastAPI, printer_id: int, ts: int = TS, name: str = "a.gcode") -> None:
    message = StatusMessage(ts, None, PrintEvent("PrintStarted", {"name": name}))
    tracked = tracking(app).apply(printer_id, message)
    assert tracked is not None
    app.state.context.hub.update(tracked.record)


def agent_headers(printer: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Token {printer['auth_token']}"}


# --- accounts ------------------------------------------------------------------------------------------------------


def test_the_first_run_makes_the_owner_once(tmp_path: Path) -> None:
    from reference_server.app import create_app

    app = create_app(make_config(tmp_path))

    async def journey() -> None:
        async with Person(app) as person:
            state = (await person.http.get("/api/v1/auth/state")).json()
            assert state == {"setup_needed": True, "logged_in": False, "user": None}
            old = app.state.context.accounts.begin_setup()
            token = app.state.context.accounts.begin_setup()
            body = {"token": old, "name": "ada", "password": PASSWORD, "email": "ada@example.org"}
            assert (await person.http.post("/api/v1/auth/setup/", json=body)).status_code == 403
            short = await person.http.post("/api/v1/auth/setup/", json={**body, "token": token, "password": "x"})
            assert (short.status_code, list(short.json()["errors"])) == (400, ["password"])
            done = await person.http.post("/api/v1/auth/setup/", json={**body, "token": token})
            assert (done.status_code, done.json()["user"]["is_owner"]) == (200, True)
            again = await person.http.post("/api/v1/auth/setup/", json={**body, "token": token})
            assert again.status_code == 409
            state = (await person.http.get("/api/v1/auth/state/")).json()
            assert (state["setup_needed"], state["user"]["name"]) == (False, "ada")

    run(journey)


def test_log_in_by_name_or_address_and_log_out(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            assert (await person.http.get("/api/v1/users/me/")).status_code == 401
            wrong = await person.log_in(password="wrong password")
            assert (wrong.status_code, wrong.headers["www-authenticate"]) == (401, 'Bearer realm="api"')
            found = await person.log_in("ADA@example.org")
            cookies = found.headers.get_list("set-cookie")
            assert any("tsd_sessionid" in text and "HttpOnly" in text and "SameSite=lax" in text for text in cookies)
            assert (await person.http.get("/api/v1/users/me")).json()["name"] == "ada"
            session = person.http.cookies["tsd_sessionid"]
            assert (await person.http.post("/api/v1/auth/logout/")).status_code == 204
            person.http.cookies.set("tsd_sessionid", session)
            assert (await person.http.get("/api/v1/users/me/")).status_code == 401

    run(journey)


def test_guessing_passwords_is_throttled(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            answers = [(await person.log_in(password=f"wrong {number}")).status_code for number in range(12)]
            assert answers == [401] * 10 + [429] * 2
            last = await person.log_in()
            assert (last.status_code, int(last.headers["retry-after"]) > 0) == (429, True)
            assert (await person.log_in("bob")).status_code == 200

    run(journey)


def test_a_cookie_alone_changes_nothing(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            make = {"name": "P"}
            good = person.http.headers.pop("X-CSRFToken")
            assert (await person.http.post("/api/v1/printers/", json=make)).status_code == 403
            for headers in (
                {"X-CSRFToken": "x"},
                {"X-CSRFToken": good, "Origin": "http://evil.test"},
                {"X-CSRFToken": good, "Origin": "null"},
                {"X-CSRFToken": good, "Sec-Fetch-Site": "cross-site"},
            ):
                assert (await person.http.post("/api/v1/printers/", headers=headers, json=make)).status_code == 403
            fine = {"X-CSRFToken": good, "Origin": "http://server.test", "Sec-Fetch-Site": "same-origin"}
            assert (await person.http.post("/api/v1/printers/", headers=fine, json=make)).status_code == 201
            evil = await person.http.post(
                "/api/v1/auth/login/", json={"name": "ada", "password": PASSWORD}, headers={"Origin": "http://evil.test"}
            )
            assert evil.status_code == 403

    run(journey)


def test_api_keys_work_until_they_are_revoked(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person, Person(app) as program:
            await person.log_in()
            made = (await person.http.post("/api/v1/api_keys/", json={"name": "script"})).json()
            program.http.headers["Authorization"] = f"Bearer {made['key']}"
            assert (await program.http.post("/api/v1/printers/", json={"name": "P"})).status_code == 201
            program.http.headers = httpx.Headers({"X-API-KEY": made["key"]})
            assert len((await program.http.get("/api/v1/printers/")).json()) == 1
            listed = (await person.http.get("/api/v1/api_keys/")).json()
            assert (listed[0]["name"], "key" in listed[0]) == ("script", False)
            assert listed[0]["last_used_at"] is not None
            assert (await person.http.delete(f"/api/v1/api_keys/{made['id']}/")).status_code == 204
            assert (await program.http.get("/api/v1/printers/")).status_code == 401
            assert (await person.http.delete(f"/api/v1/api_keys/{made['id']}/")).status_code == 404
            assert (await person.http.post("/api/v1/api_keys/", json={"name": ""})).status_code == 400

    run(journey)


# --- linking -------------------------------------------------------------------------------------------------------


def test_linking_by_code_and_linking_anew(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            first = (await person.http.get("/api/v1/onetimeverificationcodes/")).json()
            assert (await person.http.get("/api/v1/onetimeverificationcodes")).json() == first
            assert (len(first["code"]), first["verified_at"]) == (6, None)
            verified = await person.http.post(f"/api/v1/octo/verify?code={first['code']}")
            printer = verified.json()["printer"]
            assert (printer["name"], len(printer["auth_token"])) == ("My Awesome Cloud Printer", 20)
            used = (await person.http.get(f"/api/v1/onetimeverificationcodes/{first['id']}/")).json()
            assert (used["verified_at"] is None, used["printer"]["auth_token"]) == (False, None)
            assert (await person.http.post(f"/api/v1/octo/verify/?code={first['code']}")).status_code == 404
            anew = (await person.http.get(f"/api/v1/onetimeverificationcodes/?printer_id={printer['id']}")).json()
            again = (await person.http.get(f"/api/v1/octo/verify/?code={anew['code']}")).json()["printer"]
            assert again["id"] == printer["id"]
            assert again["auth_token"] != printer["auth_token"]
            old = await person.http.get("/api/v1/octo/printer/", headers=agent_headers(printer))
            assert old.status_code == 401
            new = await person.http.get("/api/v1/octo/printer/", headers=agent_headers(again))
            assert new.json()["printer"]["retract_on_pause"] == 6.5

    run(journey)


def test_wrong_codes_are_refused_in_the_public_servers_words(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            missing = await person.http.post("/api/v1/octo/verify/")
            assert (missing.status_code, missing.json()) == (400, {"code": ["This field may not be null."]})
            blank = await person.http.post("/api/v1/octo/verify/?code=")
            assert (blank.status_code, blank.json()) == (400, {"code": ["This field may not be blank."]})
            assert (await person.http.post(f"/api/v1/octo/verify/?code={'1' * 65}")).status_code == 400
            unknown = await person.http.post("/api/v1/octo/verify/?code=000000")
            assert (unknown.status_code, unknown.json()) == (404, {"detail": "Requested resource does not exist"})
            answers = {(await person.http.post("/api/v1/octo/verify/?code=1")).status_code for _ in range(35)}
            assert answers == {404, 429}

    run(journey)


def test_agents_are_refused_exactly_as_by_the_public_server(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            none = await person.http.get("/api/v1/octo/printer/")
            assert (none.status_code, none.json()) == (
                401, {"detail": "Authentication credentials were not provided."},
            )  # fmt: skip
            wrong = await person.http.get("/api/v1/octo/printer/", headers={"Authorization": "token nope"})
            assert (wrong.status_code, wrong.json()) == (
                401, {"error": "Invalid or Inactive Token", "is_authenticated": "False"},
            )  # fmt: skip

    run(journey)


def test_an_unlinked_agent_announces_itself(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            body = {"device_id": "a" * 32, "host_or_ip": "10.0.0.2"}
            assert (await person.http.post("/api/v1/octo/unlinked/", json=body)).json() == {"messages": []}
            bad = await person.http.post("/api/v1/octo/unlinked/", json={"device_id": 5})
            assert (bad.status_code, set(bad.json()["errors"])) == (400, {"device_id", "host_or_ip"})

    run(journey)


# --- agents by HTTP ------------------------------------------------------------------------------------------------


def test_pictures_are_taken_kept_and_served(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            headers = agent_headers(printer)

            async def post(data: dict[str, str], picture: bytes | None) -> httpx.Response:
                files = {"pic": ("pic", picture)} if picture is not None else {"other": ("x", b"x")}
                return await person.http.post("/api/v1/octo/pic/", data=data, files=files, headers=headers)

            assert (await post({}, jpeg(640, 480))).json() == {"result": "ok"}
            corrupted = await post({}, b"<html>log in</html>")
            assert (corrupted.status_code, corrupted.json()) == (400, ["Corrupted image."])
            assert (await post({}, None)).status_code == 400
            assert (await post({"is_primary_camera": "False", "camera_name": "../n"}, jpeg(9, 9))).status_code == 200
            assert (await post({}, jpeg() + b"\0" * 7_000_001)).status_code == 413
            assert (await post({}, jpeg() + b"\0" * 8_000_000)).status_code == 413
            raw = await person.http.post(
                "/api/v1/octo/pic/", content=b"x", headers={**headers, "content-type": "image/jpeg"}
            )
            assert raw.status_code == 415
            shown = (await person.http.get(f"/api/v1/printers/{printer['id']}/")).json()
            assert (shown["pic"]["width"], shown["pic"]["height"]) == (640, 480)
            assert [camera["is_primary_camera"] for camera in shown["cameras"]] == [True, False]
            async with Person(app) as stranger:
                for camera in shown["cameras"]:
                    found = await stranger.http.get(camera["img_url"])
                    assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
                forged = shown["pic"]["img_url"].replace("/primary", "/secondary")
                assert (await stranger.http.get(forged)).status_code == 403

    run(journey)


def test_the_last_picture_is_there_after_a_restart(tmp_path: Path) -> None:
    app = make_app(tmp_path)

    async def before() -> int:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            files = {"pic": ("pic", jpeg(32, 16))}
            await person.http.post("/api/v1/octo/pic/", files=files, headers=agent_headers(printer))
            return int(printer["id"])

    printer_id = run(before)
    from reference_server.app import create_app

    again = create_app(make_config(tmp_path))

    async def after() -> None:
        async with Person(again) as person:
            await person.log_in()
            assert (await person.http.get(f"/api/v1/printers/{printer_id}/")).json()["pic"]["width"] == 32

    run(after)


def test_too_many_pictures_a_minute(tmp_path: Path) -> None:
    app = make_app(tmp_path, pic_limit_per_minute="2")

    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            headers = agent_headers(await person.link())
            answers = [
                (await person.http.post("/api/v1/octo/pic/", files={"pic": ("p", jpeg())}, headers=headers)).status_code
                for _ in range(3)
            ]
            assert answers == [200, 200, 429]

    run(journey)


def test_printer_events_are_written_once_per_key(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            start_print(app, printer["id"])
            headers = {**agent_headers(printer), "Idempotency-Key": "k1"}
            form = {"event_type": "FILAMENT_CHANGE", "event_class": "WARNING", "event_title": "M600"}
            for _ in range(2):
                answer = await person.http.post(
                    "/api/v1/octo/printer_events/", data=form, files={"snapshot": ("s", jpeg())}, headers=headers
                )
                assert (answer.status_code, answer.json()) == (200, {"result": "ok"})
            bare = await person.http.post(
                "/api/v1/octo/printer_events/", data={"event_type": "PRINTER_ERROR"}, headers=agent_headers(printer)
            )
            assert bare.status_code == 200
            found = (await person.http.get("/api/v1/printer_events/?filter_by_types[]=FILAMENT_CHANGE")).json()
            assert [(event["event_title"], event["print"] is None) for event in found] == [("M600", False)]
            assert (await person.http.get(found[0]["image_url"])).status_code == 200
            late = {**form, "event_title": "late", "at": "1700000000.5", "current_print_ts": "1"}
            for key, fields in (("k2", late), ("k3", {**late, "at": "99999999999", "current_print_ts": "no number"})):
                headers["Idempotency-Key"] = key
                answer = await person.http.post("/api/v1/octo/printer_events/", data=fields, headers=headers)
                assert answer.status_code == 200
            found = (await person.http.get("/api/v1/printer_events/?filter_by_types[]=FILAMENT_CHANGE")).json()
            assert [event["created_at"][:13] for event in found if event["event_title"] == "late"][1] == "2023-11-14T22"
            assert all(event["created_at"] < "2200" for event in found)
            (error,) = (await person.http.get("/api/v1/printer_events/?filter_by_classes[]=ERROR")).json()
            assert (error["event_title"], error["image_url"]) == ("Printer Error", None)
            everything = (await person.http.get("/api/v1/printer_events/?limit=2")).json()
            assert len(everything) == 2
            assert (await person.http.get("/api/v1/printer_events/?filter_by_types[]=PAUSE_RESUME")).json() == []
            assert (await person.http.get("/api/v1/printer_events/?filter_by_types[]=X")).status_code == 400
            for form in ({}, {"event_type": "X"}, {"event_type": "STARTED", "event_class": "X"},
                         {"event_type": "STARTED", "info_url": "javascript:x"}):  # fmt: skip
                bad = await person.http.post("/api/v1/octo/printer_events/", data=form, headers=agent_headers(printer))
                assert bad.status_code == 400
            assert (await person.http.get("/api/v1/octo/printer_events/")).status_code == 405

    run(journey)


def test_g_code_files_are_upserted_by_signature(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            headers = agent_headers(await person.link())
            form = {
                "filename": "a b.gcode", "safe_filename": "a_b.gcode", "num_bytes": "10", "agent_signature": "md5:x",
                "url": "a b.gcode",
            }  # fmt: skip
            made = await person.http.post("/api/v1/octo/g_code_files/", data=form, headers=headers)
            again = await person.http.post("/api/v1/octo/g_code_files/", data=form, headers=headers)
            assert (made.status_code, again.status_code) == (201, 200)
            assert made.json() == again.json()
            assert made.json()["num_bytes"] == 10
            bad = await person.http.post("/api/v1/octo/g_code_files/", data={"num_bytes": "x"}, headers=headers)
            assert (bad.status_code, len(bad.json()["errors"])) == (400, 4)
            url = f"/api/v1/octo/g_code_files/{made.json()['id']}/"
            changed = await person.http.patch(url, json={"agent_signature": "ts:1.5"}, headers=headers)
            assert (changed.json()["agent_signature"], changed.json()["safe_filename"]) == ("ts:1.5", "a_b.gcode")
            assert (await person.http.patch("/api/v1/octo/g_code_files/99/", headers=headers)).status_code == 404
            assert len((await person.http.get("/api/v1/octo/g_code_files/", headers=headers)).json()) == 1

    run(journey)


def test_an_agent_may_rename_its_printer_and_nothing_else(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            body = {"name": "New", "auth_token": "mine", "user_id": 2}
            renamed = await person.http.patch("/api/v1/octo/printer/", json=body, headers=agent_headers(printer))
            assert renamed.json()["printer"]["name"] == "New"
            shown = (await person.http.get(f"/api/v1/printers/{printer['id']}/")).json()
            assert (shown["name"], shown["auth_token"]) == ("New", printer["auth_token"])
            assert (await person.http.get("/api/v1/octo/ping/", headers=agent_headers(printer))).status_code == 200

    run(journey)


# --- printers and prints -------------------------------------------------------------------------------------------


def test_printers_are_changed_archived_and_deleted(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            made = (await person.http.post("/api/v1/printers", json={"name": "P"})).json()
            url = f"/api/v1/printers/{made['id']}/"
            (listed,) = (await person.http.get("/api/v1/printers/")).json()
            assert (listed["auth_token"], len(made["auth_token"])) == (None, 20)
            whole = (await person.http.get(url)).json()
            done = (await person.http.patch(url, json={**whole, "retract_on_pause": 3})).json()
            assert (done["succeeded"], done["retract_on_pause"], done["printer"]["retract_on_pause"]) == (True, 3, 3)
            assert done["auth_token"] is None
            bad = await person.http.patch(url, json={"detective_sensitivity": 2, "id": 7})
            assert (bad.status_code, set(bad.json()["errors"])) == (400, {"detective_sensitivity", "id"})
            for content in (b"[1]", b"{", b'{"retract_on_pause": NaN}'):
                assert (await person.http.put(url, content=content)).status_code == 400
            compat = (await person.http.get(url + "?compat=1")).json()
            assert (compat["settings"]["installed_plugins"], whole["settings"]["installed_plugins"]) == ("[]", [])
            assert (await person.http.post(url + "archive")).status_code == 204
            assert (await person.http.get("/api/v1/printers/")).json() == []
            assert len((await person.http.get("/api/v1/printers/?with_archived=true")).json()) == 1
            assert (await person.http.post(url + "unarchive/")).status_code == 204
            gone = await person.http.delete(url)
            assert (gone.status_code, gone.content) == (200, b"")
            assert (await person.http.get(url)).status_code == 404
            assert (await person.http.post("/api/v1/printers/", json={})).status_code == 400

    run(journey)


def test_somebody_elses_things_do_not_exist(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as ada, Person(app) as bob:
            await ada.log_in()
            await bob.log_in("bob")
            printer = await ada.link()
            start_print(app, printer["id"])
            (job,) = (await ada.http.get("/api/v1/prints/")).json()
            assert (await bob.http.get("/api/v1/printers/")).json() == []
            assert (await bob.http.get("/api/v1/prints/")).json() == []
            assert (await bob.http.get("/api/v1/printer_events/")).json() == []
            p, j = f"/api/v1/printers/{printer['id']}/", f"/api/v1/prints/{job['id']}/"
            tried = [
                ("GET", p), ("PATCH", p), ("PUT", p), ("DELETE", p), ("GET", j), ("PATCH", j), ("DELETE", j),
                ("GET", j + "prediction_json/"), ("GET", f"/api/v1/print/{job['id']}/"),
                ("GET", f"/api/v1/onetimeverificationcodes/?printer_id={printer['id']}"),
                *(("POST", p + action) for action in (
                    "pause_print", "resume_print", "cancel_print", "mute_current_print", "acknowledge_alert",
                    "archive", "unarchive",
                )),
            ]  # fmt: skip
            for method, url in tried:
                assert (await bob.http.request(method, url)).status_code == 404, (method, url)
            bulk = await bob.http.post("/api/v1/prints/bulk_delete/", json={"print_ids": [job["id"]]})
            assert bulk.status_code == 404
            for odd in (0, -1, 10**30, "x"):
                assert (await ada.http.get(f"/api/v1/printers/{odd}/")).status_code == 404
            assert len((await ada.http.get("/api/v1/prints/")).json()) == 1

    run(journey)


def test_actions_without_a_print_or_an_agent_say_so(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            url = f"/api/v1/printers/{printer['id']}/"
            for action in ("pause_print", "mute_current_print", "acknowledge_alert"):
                answer = (await person.http.post(url + action)).json()
                assert (answer["succeeded"], answer["reason"]) == (False, "nothing is printing")
                assert answer["printer"]["id"] == printer["id"]
            start_print(app, printer["id"])
            for action in ("pause_print", "resume_print", "cancel_print"):
                answer = (await person.http.post(url + action)).json()
                assert (answer["succeeded"], answer["reason"], answer["agent"]) == (False, "printer offline", None)

    run(journey)


def test_mute_unmute_acknowledge(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            url = f"/api/v1/printers/{printer['id']}/"
            by_agent, headers = "/api/v1/octo/mute_current_print/", agent_headers(printer)
            none = (await person.http.post(by_agent, headers=headers)).json()
            assert none == {"succeeded": False, "reason": "nothing is printing"}
            start_print(app, printer["id"])
            muted = (await person.http.post(url + "mute_current_print/")).json()["printer"]
            assert (muted["current_print"]["alert_muted_at"] is None, muted["should_watch"]) == (False, False)
            free = (await person.http.post(url + "mute_current_print/?mute_alert=false")).json()["printer"]
            assert (free["current_print"]["alert_muted_at"], free["should_watch"]) == (None, True)
            # The same asked for at the printer's own page.
            assert (await person.http.post(by_agent)).status_code == 401
            for more, quiet in (("", True), ("?mute_alert=false", False)):
                told = (await person.http.post(by_agent + more, headers=headers)).json()
                assert told == {"succeeded": True, "reason": None}
                seen = (await person.http.get(url)).json()["current_print"]["alert_muted_at"]
                assert (seen is not None) == quiet
            done = (await person.http.post(url + "acknowledge_alert/?alert_overwrite=FAILED")).json()
            assert (done["succeeded"], done["printer"]["current_print"]["alert_overwrite"]) == (True, None)
            assert (await person.http.post(url + "acknowledge_alert/?alert_overwrite=X")).status_code == 400
            events = (await person.http.get("/api/v1/printer_events/?filter_by_types[]=ALERT")).json()
            assert [event["event_type"] for event in events] == ["ALERT_UNMUTED", "ALERT_MUTED"] * 2
            assert (await person.http.get("/api/v1/users/me/")).json()["unseen_printer_events"] == 5

    run(journey)


def test_prints_are_listed_filtered_changed_and_deleted(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            for number in range(3):
                start_print(app, printer["id"], TS + 100 * number, f"{number}.gcode")
            done = StatusMessage(TS + 200, None, PrintEvent(EventType.CANCELLED.value))
            assert tracking(app).apply(printer["id"], done) is not None
            listed = await person.http.get("/api/v1/prints/?limit=2&start=1&sorting=date_asc")
            assert [job["filename"] for job in listed.json()] == ["1.gcode", "2.gcode"]
            assert listed.headers["x-total-count"] == "3"
            cancelled = (await person.http.get("/api/v1/prints?filter=cancelled")).json()
            assert [job["filename"] for job in cancelled] == ["2.gcode"]
            assert len((await person.http.get("/api/v1/prints/?filter=finished")).json()) == 2
            assert len((await person.http.get("/api/v1/prints/?filter=need_alert_overwrite")).json()) == 3
            assert (await person.http.get("/api/v1/prints/?filter=need_print_shot_feedback")).json() == []
            assert (await person.http.get("/api/v1/prints/?filter_by_printer_ids[]=99")).json() == []
            for bad in ("filter=x", "sorting=x", "limit=-1", "start=x", "filter_by_printer_ids[]=x"):
                answer = await person.http.get(f"/api/v1/prints/?{bad}")
                assert (answer.status_code, len(answer.json()["errors"])) == (400, 1)
            job = cancelled[0]
            url = f"/api/v1/prints/{job['id']}/"
            assert (await person.http.get(f"/api/v1/print/{job['id']}")).json()["id"] == job["id"]
            nested = (await person.http.get(url + "?expand=printer,g_code_file")).json()
            assert (nested["printer"]["id"], job["printer"]) == (printer["id"], printer["id"])
            changed = await person.http.patch(url, json={**job, "alert_overwrite": "FAILED"})
            assert changed.json()["alert_overwrite"] == "FAILED"
            at = {"access_consented_at": "2026-01-01T00:00:00Z"}
            assert (await person.http.put(url, json=at)).json()["access_consented_at"] == "2026-01-01T00:00:00.000000Z"
            for bad_body in ({"alert_overwrite": "X"}, {"filename": "x"}, {"foo": 1}, {"access_consented_at": "x"},
                             {"access_consented_at": "2026-01-01T00:00:00"}):  # fmt: skip
                assert (await person.http.patch(url, json=bad_body)).status_code == 400
            assert (await person.http.get(url + "prediction_json")).json() == []
            gone = await person.http.delete(url)
            assert (gone.status_code, gone.content) == (200, b"")
            assert (await person.http.get(url)).status_code == 404
            assert (await person.http.get(url + "prediction_json/")).status_code == 404
            shown = (await person.http.get(f"/api/v1/printers/{printer['id']}/")).json()
            assert shown["current_print"] is None
            rest = [entry["id"] for entry in (await person.http.get("/api/v1/prints/")).json()]
            bulk = await person.http.post("/api/v1/prints/bulk_delete/", json={"print_ids": rest})
            assert bulk.status_code == 204
            assert (await person.http.get("/api/v1/prints/")).json() == []
            odd = await person.http.post("/api/v1/prints/bulk_delete/", json={"print_ids": [True]})
            assert odd.status_code == 400

    run(journey)


# --- the rest ------------------------------------------------------------------------------------------------------


def test_pages_health_and_headers(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            assert (await person.http.get("/healthz")).json() == {"status": "ok"}
            version = await person.http.get("/api/v1/version")
            assert version.json()["name"] == "reference_server"
            policy = version.headers["content-security-policy"]
            assert ("unsafe-inline" in policy, "default-src 'none'" in policy) == (False, True)
            assert version.headers["x-content-type-options"] == "nosniff"
            index = await person.http.get("/")
            assert (index.status_code, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
            icon = await person.http.get("/favicon.ico")
            assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
            for outside in ("/static/../../config.py", "/static/%2e%2e/%2e%2e/config.py", "/static/%00", "/nothing"):
                assert (await person.http.get(outside)).status_code == 404
            assert (await person.http.get("/media/snapshots/1/primary.jpg")).status_code == 403
            large = await person.http.post("/api/v1/auth/login/", content=b"x" * 2_000_000)
            assert large.status_code == 413

            async def stream() -> Any:
                for _ in range(40):
                    yield b"x" * 50_000

            assert (await person.http.post("/api/v1/auth/login/", content=stream())).status_code == 413
            assert (await person.http.get("/api/openapi.json")).status_code == 200

    run(journey)


def test_a_lost_database_is_an_answer_and_not_a_crash(app: FastAPI) -> None:
    import sqlite3

    connection = sqlite3.connect(app.state.context.config.database)
    connection.execute("DROP TABLE users")
    connection.commit()
    connection.close()

    async def journey() -> None:
        async with Person(app) as person:
            assert (await person.http.get("/healthz")).status_code == 503
            assert (await person.log_in()).status_code == 503

    run(journey)


def test_the_cookies_of_a_prolonged_session_are_renewed(tmp_path: Path) -> None:
    from datetime import timedelta

    from reference_server.app import create_app
    from reference_server.services.clock import utc_now

    ahead = timedelta()
    app = create_app(make_config(tmp_path), now=lambda: utc_now() + ahead)
    app.state.context.accounts.create_user("ada", PASSWORD)

    async def journey() -> None:
        nonlocal ahead
        async with Person(app) as person:
            token = (await person.log_in()).json()["csrf_token"]
            assert "set-cookie" not in (await person.http.get("/api/v1/users/me/")).headers
            ahead = timedelta(days=2)
            renewed = (await person.http.get("/api/v1/users/me/")).headers.get_list("set-cookie")
            assert [text.split("=")[0] for text in renewed] == ["tsd_sessionid", "tsd_csrftoken"]
            assert f"tsd_csrftoken={token}" in renewed[1]

    run(journey)


def test_links_and_cookies_follow_the_public_address(tmp_path: Path) -> None:
    app = make_app(tmp_path, public_url="https://printers.example.org")

    async def journey() -> None:
        async with Person(app) as person:
            body = {"name": "ada", "password": PASSWORD}
            headers = {"Origin": "https://printers.example.org"}
            found = await person.http.post("/api/v1/auth/login/", json=body, headers=headers)
            assert all("Secure" in text for text in found.headers.get_list("set-cookie"))
            key = found.json()["csrf_token"]
            cookies = "; ".join(text.split(";")[0] for text in found.headers.get_list("set-cookie"))
            person.http.headers.update({"Cookie": cookies, "X-CSRFToken": key})
            printer = (await person.http.post("/api/v1/printers/", json={"name": "P"})).json()
            start_print(app, printer["id"])
            (job,) = (await person.http.get("/api/v1/prints/")).json()
            assert job["prediction_json_url"].startswith("https://printers.example.org/api/v1/prints/")

    run(journey)


def test_a_full_disk_refuses_a_picture_and_keeps_the_last(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            printer = await person.link()
            files = {"pic": ("pic", jpeg(32, 16))}
            assert (
                await person.http.post("/api/v1/octo/pic/", files=files, headers=agent_headers(printer))
            ).status_code == 200
            monkeypatch.setattr("pathlib.Path.replace", full)
            refused = await person.http.post(
                "/api/v1/octo/pic/", files={"pic": ("pic", jpeg(8, 8))}, headers=agent_headers(printer)
            )
            monkeypatch.undo()
            assert refused.status_code == 507
            shown = (await person.http.get(f"/api/v1/printers/{printer['id']}/")).json()
            assert shown["pic"]["width"] == 32
            assert (await person.http.get(shown["pic"]["img_url"])).content == jpeg(32, 16)
            folder = app.state.context.config.media_dir / "snapshots" / str(printer["id"])
            assert [entry.name for entry in folder.iterdir()] == ["primary.jpg"]

    run(journey)
