"""G-code files: upload, list, folders, printing (wire-protocol.md §6.5 and §8, rest-decisions.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from reference_server.services.files.library import safe_filename
from tests.fakes.agent import FakeAgent
from tests.unit.reference_server.live_server import Owner, running, status, wait_until
from tests.unit.reference_server.support import BASE, Person, make_app, run

GCODE = Path(__file__).parents[2] / "data" / "recordings" / "moonraker" / "gcode" / "two_cubes_prusaslicer.gcode"
URL = "/api/v1/g_code_files/"
FOLDERS = "/api/v1/g_code_folders/"


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path, upload_limit_mb="1")


def as_ada(app: FastAPI, journey: Callable[[Person], Awaitable[None]]) -> None:
    async def go() -> None:
        async with Person(app) as person:
            await person.log_in()
            await journey(person)

    run(go)


def files_on_disk(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "media").rglob("*") if path.is_file())


async def upload(person: Person, name: str = "a.gcode", data: bytes = b"G28\n", **fields: str) -> httpx.Response:
    return await send(person, fields, name, data)


async def send(
    person: Person, fields: dict[str, str], name: str = "a.gcode", data: bytes = b"G28\n"
) -> httpx.Response:
    return await person.http.post(URL, files={"file": (name, data)}, data=fields)


def test_an_uploaded_file_is_kept_read_and_served(app: FastAPI, tmp_path: Path) -> None:
    data = GCODE.read_bytes()

    async def journey(person: Person) -> None:
        answer = await upload(person, "C:\\parts\\two cubes é.gcode", data, print="false", path="")
        assert answer.status_code == 201
        file = answer.json()
        assert (file["filename"], file["safe_filename"]) == ("two cubes é.gcode", "two_cubes_é.gcode")
        assert (file["num_bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert (file["filament_total"], file["estimated_time"]) == (664.39, 252)
        assert file["metadata_json"]["layer_count"] == 20
        assert (file["user"], file["resident_printer"], file["agent_signature"]) == (1, None, None)
        assert (await person.http.get(f"{URL}{file['id']}")).json() == file
        thumbnail = await person.http.get(file["thumbnail1_url"].removeprefix(BASE))
        assert (thumbnail.headers["content-type"], thumbnail.content[:4]) == ("image/png", b"\x89PNG")
        assert file["thumbnail2_url"] is not None
        assert file["thumbnail3_url"] is None
        link = file["url"].removeprefix(BASE)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE) as anybody:
            assert (await anybody.get(link)).content == data
            assert (await anybody.get(link[:-1] + ("0" if link[-1] != "0" else "1"))).status_code == 403
        again = await upload(person, "two cubes é.gcode", data)
        assert (again.status_code, again.json()["id"]) == (201, file["id"])
        assert len(files_on_disk(tmp_path)) == 3  # the file and its two pictures
        assert (await person.http.delete(f"{URL}{file['id']}/")).status_code == 204
        assert (await person.http.get(f"{URL}{file['id']}/")).status_code == 404
        assert files_on_disk(tmp_path) == []
        assert (await person.http.get(link)).status_code == 404

    as_ada(app, journey)


def test_what_is_no_g_code_is_refused_and_leaves_nothing(app: FastAPI, tmp_path: Path) -> None:
    async def journey(person: Person) -> None:
        for data in (b"\xff\xfe\x00", b"G28 \xc3", b"GCDE\0\0"):
            answer = await upload(person, data=data)
            assert (answer.status_code, list(answer.json()["errors"])) == (400, ["file"])
        assert (await upload(person, data=b";" * 1_000_001)).status_code == 413
        assert (await upload(person, data=b";" * 2_000_000)).status_code == 413
        assert (await upload(person, data=b";" * 1_000_000)).status_code == 201
        for fields, field in (
            ({"printer_id": "99"}, "printer_id"), ({"printer_id": "Prusa"}, "printer_id"),
            ({"print": "true"}, "printer_id"),
            ({"filename": ".."}, "filename"), ({"filename": "x" * 201}, "filename"),
            ({"path": "/".join("abcdefghijk")}, "path"), ({"path": "a/../b"}, "path"),
        ):  # fmt: skip
            answer = await send(person, fields)
            assert (answer.status_code, list(answer.json()["errors"])) == (400, [field]), fields
        assert (await person.http.post(URL, data={"filename": "a"}, files={"pic": ("a", b"x")})).status_code == 400
        assert (await person.http.post(URL, json={})).status_code == 415
        broken = {"content-type": "multipart/form-data; boundary=x"}
        assert (await person.http.post(URL, content=b"--y\r\n\r\n", headers=broken)).status_code == 400
        assert (await person.http.post(URL, content=b"", headers=broken)).status_code == 400
        many = await send(person, {f"field{number}": "x" for number in range(60)})
        assert many.status_code == 400
        assert (await upload(person, note="x" * 20_000)).status_code == 400
        twice = [("file", ("a.gcode", b"G28")), ("file", ("b.gcode", b"G28"))]
        assert (await person.http.post(URL, files=twice)).status_code == 400
        assert len(files_on_disk(tmp_path)) == 1

    as_ada(app, journey)


def test_a_full_disk_is_said(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    async def journey(person: Person) -> None:
        monkeypatch.setattr("reference_server.media.uploads.os.fsync", full)
        assert (await upload(person)).status_code == 507
        monkeypatch.undo()
        assert (await person.http.get(URL)).json()["count"] == 0

    as_ada(app, journey)


def test_files_are_listed_by_page_name_and_folder(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        for number, path in enumerate(["", "", "parts/small", "parts/small", "parts", "", "", ""]):
            name = f"{'aB'[number % 2]}{number}.gcode"
            assert (await upload(person, name, b"G28\n" * (number + 1), path=path)).is_success

        async def names(query: str) -> list[str]:
            answer = await person.http.get(f"{URL}?{query}")
            assert answer.status_code == 200, answer.text
            return [file["filename"].removesuffix(".gcode") for file in answer.json()["results"]]

        assert await names("") == ["B7", "a6", "B5", "a4", "B3", "a2"]
        first = (await person.http.get(URL, params={"sorting": "created_at_asc", "page_size": "3"})).json()
        assert (first["count"], first["previous"]) == (8, None)
        second = (await person.http.get(first["next"].removeprefix(BASE))).json()
        assert [file["filename"] for file in second["results"]] == ["B3.gcode", "a4.gcode", "B5.gcode"]
        assert second["previous"].endswith("page=1")
        assert (await person.http.get(second["next"].removeprefix(BASE))).json()["next"] is None
        assert (await person.http.get(URL + "?page=4&page_size=3")).status_code == 404
        assert await names("q=b&sorting=filename_desc") == ["B7", "B5", "B3", "B1"]
        assert await names("q=%25") == []  # no wildcard
        assert await names("sorting=num_bytes_desc&page_size=2") == ["B7", "a6"]
        assert await names("parent_folder=root") == ["B7", "a6", "B5", "B1", "a0"]
        parts = (await person.http.get(FOLDERS + "?parent_folder=root")).json()["results"]
        assert [(folder["name"], folder["file_count"], folder["folder_count"]) for folder in parts] == [("parts", 1, 1)]
        assert await names(f"parent_folder={parts[0]['id']}") == ["a4"]
        small = (await person.http.get(f"{FOLDERS}?parent_folder={parts[0]['id']}")).json()["results"][0]
        assert await names(f"parent_folder={small['id']}&sorting=filename_asc") == ["B3", "a2"]
        for bad in ("sorting=colour", "page=0", "page_size=x", "parent_folder=attic", "resident_printer=x"):
            assert (await person.http.get(f"{URL}?{bad}")).status_code == 400

    as_ada(app, journey)


def test_files_that_printers_have_are_a_list_of_their_own(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        printer = await person.link()
        token = {"Authorization": f"Token {printer['auth_token']}"}
        told = {"filename": "own.gcode", "safe_filename": "own.gcode", "agent_signature": "md5:x", "url": "own.gcode"}
        own = (await person.http.post("/api/v1/octo/g_code_files/", data=told, headers=token)).json()
        await upload(person, "cloud.gcode")
        listed = (await person.http.get(f"{URL}?resident_printer={printer['id']}")).json()
        assert [file["id"] for file in listed["results"]] == [own["id"]]
        assert listed["results"][0]["url"] == "own.gcode"
        assert [file["filename"] for file in (await person.http.get(URL)).json()["results"]] == ["cloud.gcode"]
        renamed = await person.http.patch(f"{URL}{own['id']}/", json={"filename": "mine.gcode"})
        assert (renamed.json()["filename"], renamed.json()["safe_filename"]) == ("mine.gcode", "own.gcode")

    as_ada(app, journey)


def test_files_are_renamed_and_moved(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        file = (await upload(person)).json()
        folder = (await person.http.post(FOLDERS, json={"name": "parts"})).json()
        url = f"{URL}{file['id']}/"
        moved = await person.http.patch(url, json={**file, "filename": "b c.gcode", "parent_folder": folder["id"]})
        assert (moved.json()["safe_filename"], moved.json()["parent_folder"]) == ("b_c.gcode", folder["id"])
        assert (await person.http.put(url, json={"parent_folder": None})).json()["parent_folder"] is None
        bodies: tuple[dict[str, Any], ...] = (
            {"filename": ""}, {"filename": "a/b"}, {"filename": 1}, {"num_bytes": 1}, {"shoe": 1},
            {"parent_folder": 99}, {"parent_folder": "1"}, {"parent_folder": True}, {"url": "http://x"},
        )  # fmt: skip
        for bad in bodies:
            answer = await person.http.patch(url, json=bad)
            assert (answer.status_code, list(answer.json()["errors"])) == (400, list(bad)), bad
        move = {"g_code_file_ids": [file["id"]], "parent_folder": folder["id"]}
        assert (await person.http.post(URL + "bulk_move/", json=move)).status_code == 204
        assert (await person.http.get(url)).json()["parent_folder"] == folder["id"]
        assert (await person.http.post(URL + "bulk_move/", json={**move, "parent_folder": 99})).status_code == 400
        for name in ("bulk_delete/", "bulk_move/"):
            assert (await person.http.post(URL + name, json={"g_code_file_ids": [file["id"], 99]})).status_code == 404
            assert (await person.http.post(URL + name, json={"g_code_file_ids": []})).status_code == 400
        assert (await person.http.post(URL + "bulk_delete/", json={"g_code_file_ids": [file["id"]]})).status_code == 204
        assert (await person.http.get(URL)).json()["count"] == 0

    as_ada(app, journey)


def test_folders_are_made_moved_and_deleted_with_what_is_in_them(app: FastAPI, tmp_path: Path) -> None:
    async def journey(person: Person) -> None:
        async def make(name: str, parent: int | None = None) -> dict[str, Any]:
            answer = await person.http.post(FOLDERS, json={"name": name, "parent_folder": parent})
            found: dict[str, Any] = answer.json()
            return found

        a, b = await make("a"), await make("b")
        c = await make("c", a["id"])
        again = await person.http.post(FOLDERS, json={"name": "a"})
        assert (again.status_code, again.json()["id"]) == (200, a["id"])
        await upload(person, path="a/c")
        assert (await person.http.get(f"{FOLDERS}{c['id']}")).json()["file_count"] == 1
        into_itself = await person.http.patch(f"{FOLDERS}{a['id']}/", json={"parent_folder": c["id"]})
        assert (into_itself.status_code, list(into_itself.json()["errors"])) == (400, ["parent_folder"])
        renamed = await person.http.patch(f"{FOLDERS}{b['id']}/", json={**b, "name": "d e"})
        assert (renamed.json()["name"], renamed.json()["safe_name"]) == ("d e", "d_e")
        assert (await person.http.patch(f"{FOLDERS}{b['id']}/", json={"name": "a"})).status_code == 409
        assert (await person.http.patch(f"{FOLDERS}{b['id']}/", json={"file_count": 7})).status_code == 400
        move = {"folder_ids": [c["id"]], "parent_folder": b["id"]}
        assert (await person.http.post(FOLDERS + "bulk_move/", json=move)).status_code == 204
        assert [each["name"] for each in (await person.http.get(f"{FOLDERS}?q=c")).json()["results"]] == ["c"]
        assert (await person.http.delete(f"{FOLDERS}{b['id']}/")).status_code == 204
        assert (await person.http.get(f"{FOLDERS}{c['id']}/")).status_code == 404
        assert ((await person.http.get(URL)).json()["count"], files_on_disk(tmp_path)) == (0, [])
        assert (await person.http.post(FOLDERS + "bulk_delete/", json={"folder_ids": [a["id"]]})).status_code == 204
        assert (await person.http.get(FOLDERS)).json()["count"] == 0

    as_ada(app, journey)


def test_somebody_elses_files_do_not_exist(app: FastAPI) -> None:
    async def go() -> None:
        async with Person(app) as ada, Person(app) as bob:
            await ada.log_in()
            await bob.log_in("bob")
            file, folder = (await upload(ada)).json(), (await ada.http.post(FOLDERS, json={"name": "x"})).json()
            printer = await ada.link()
            assert (await bob.http.get(URL)).json()["count"] == 0
            for url in (f"{URL}{file['id']}/", f"{FOLDERS}{folder['id']}/"):
                assert (await bob.http.get(url)).status_code == 404
                assert (await bob.http.patch(url, json={})).status_code == 404
                assert (await bob.http.delete(url)).status_code == 404
            assert (await bob.http.post(f"{URL}{file['id']}/print/", json={"printer_id": 1})).status_code == 404
            assert (await bob.http.post(FOLDERS, json={"name": "y", "parent_folder": folder["id"]})).status_code == 400
            assert (await upload(bob, printer_id=f"Mine [{printer['id']}]")).status_code == 400
            own = (await upload(bob)).json()
            elsewhere = {"printer_id": printer["id"]}
            assert (await bob.http.post(f"{URL}{own['id']}/print/", json=elsewhere)).status_code == 404

    run(go)


def test_safe_names() -> None:
    assert safe_filename("a b/c\\d.gcode") == "a_b_c_d.gcode"
    assert (safe_filename(".hidden"), safe_filename("..")) == ("_hidden", "_.")


# --- printing --------------------------------------------------------------------------------------------------------


def test_a_slicer_uploads_and_prints(tmp_path: Path) -> None:
    """As OrcaSlicer's Obico host does: version, printers, upload with `name [id]`; the agent has a link."""
    with running(tmp_path) as server:
        owner = Owner(server)
        key = owner.http.post("/api/v1/api_keys/", json={"name": "OrcaSlicer"}).json()["key"]
        slicer = httpx.Client(base_url=server.base, headers={"Authorization": f"Bearer {key}"})
        printer = owner.link()
        assert slicer.get("/api/v1/version/").status_code == 200
        (listed,) = slicer.get("/api/v1/printers/").json()
        chosen = f"{listed['name']} [{listed['id']}]"
        fields = {"print": "true", "path": "", "printer_id": chosen, "filename": "c.gcode"}
        data = GCODE.read_bytes()

        def send() -> httpx.Response:
            return slicer.post(URL, data=fields, files={"file": ("c.gcode", data)})

        some = {"name": "uploads only", "scopes": ["read", "write"]}
        weak = owner.http.post("/api/v1/api_keys/", json=some).json()["key"]
        headers = {"Authorization": f"Bearer {weak}"}
        without = slicer.post(URL, data=fields, files={"file": ("c", b"G28")}, headers=headers)
        assert without.status_code == 403
        offline = send()
        assert (offline.status_code, offline.json()["detail"]) == (409, "The file was not taken: printer offline.")
        agent = FakeAgent(server.base, printer["auth_token"]).connect()
        fetched: list[bytes] = []

        def download(file: dict[str, Any]) -> dict[str, str]:
            whole = httpx.get(file["url"])
            fetched.append(whole.content)
            assert (file["num_bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
            # What an agent needs to go on after a broken connection.
            head = httpx.head(file["url"])
            assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
            rest = {"Range": "bytes=100-", "If-Range": whole.headers["etag"]}
            part = httpx.get(file["url"], headers=rest)
            assert (part.status_code, part.content) == (206, data[100:])
            assert part.headers["content-range"] == f"bytes 100-{len(data) - 1}/{len(data)}"
            anew = httpx.get(file["url"], headers={**rest, "If-Range": '"other"'})
            assert (anew.status_code, anew.content) == (200, data)
            return {"target_path": f"ObicoUpload/{file['safe_filename']}"}

        agent.functions["file_downloader.download"] = download
        answer = send()
        assert answer.status_code == 201
        assert fetched == [data]
        order = {"printer_id": printer["id"]}
        again = slicer.post(f"{URL}{answer.json()['id']}/print/", json=order).json()
        assert (again["succeeded"], again["reason"], again["printer"]["id"]) == (True, None, printer["id"])

        def busy(_: object) -> None:
            raise ValueError("Printer busy!")

        agent.functions["file_downloader.download"] = busy
        refused = send()
        assert refused.status_code == 409
        assert "Printer busy!" in refused.json()["detail"]
        assert refused.json()["g_code_file"]["id"] == answer.json()["id"]
        agent.close()
        gone = owner.http.post(f"{URL}{answer.json()['id']}/print/", json=order).json()
        assert (gone["succeeded"], gone["reason"]) == (False, "printer offline")
        slicer.close()
        owner.close()


def test_a_file_that_a_printer_has_is_printed_there(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        owner = Owner(server)
        printer, other = owner.link(), owner.link()
        agent = FakeAgent(server.base, printer["auth_token"]).connect()
        token = {"Authorization": f"Token {printer['auth_token']}"}
        told = {"filename": "own.gcode", "safe_filename": "own.gcode", "agent_signature": "md5:x", "url": "a/own.gcode"}
        own = owner.http.post("/api/v1/octo/g_code_files/", data=told, headers=token).json()
        asked: list[tuple[str, str]] = []

        def start(file: dict[str, Any]) -> Any:
            asked.append((file["url"], file["agent_signature"]))
            return "Success" if len(asked) == 1 else {"error": "File has been modified!"}

        agent.functions["file_operations.start_printer_local_print"] = start
        url = f"{URL}{own['id']}/print/"
        assert owner.http.post(url).json()["succeeded"] is True
        changed = owner.http.post(url, json={"printer_id": printer["id"]}).json()
        assert (changed["succeeded"], changed["reason"]) == (False, "File has been modified!")
        assert asked == [("a/own.gcode", "md5:x")] * 2
        assert owner.http.post(url, json={"printer_id": other["id"]}).status_code == 400
        agent.close()
        owner.close()


def test_a_download_is_ended_by_a_cancel(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        owner = Owner(server)
        number = (printer := owner.link())["id"]
        agent = owner.agent(printer)
        agent.send({"current_print_ts": -1, "status": status(1.0, "Operational")})
        wait_until(lambda: bool(owner.printer(number)["status"]))
        assert owner.act(number, "cancel_print")["reason"] == "nothing is printing"
        how_far = {"name": "a.gcode", "done": 5, "total": 10, "completion": 50.0}
        agent.send({"current_print_ts": -1, "status": status(2.0, "G-Code Downloading", download=how_far)})
        wait_until(lambda: owner.printer(number)["status"]["state"]["text"] == "G-Code Downloading")
        assert owner.printer(number)["status"]["download"] == how_far
        assert owner.act(number, "pause_print")["reason"] == "nothing is printing"
        assert owner.act(number, "cancel_print")["succeeded"] is True
        assert agent.until(lambda frame: "commands" in frame)["commands"][0]["cmd"] == "cancel"
        agent.close()
        owner.close()


def test_an_agent_gives_the_thumbnail_of_its_own_file(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\nwhatever"
    with running(tmp_path) as server:
        owner = Owner(server)
        printer, other = owner.link(), owner.link()
        token, foreign = ({"Authorization": f"Token {each['auth_token']}"} for each in (printer, other))
        told = {"filename": "own.gcode", "safe_filename": "own.gcode", "agent_signature": "md5:x", "url": "a/own.gcode"}
        own = "/api/v1/octo/g_code_files/"
        made = owner.http.post(own, data=told, headers=token)
        assert made.headers["x-thumbnail"] == "wanted"
        file = f"{own}{made.json()['id']}/"

        def give(picture: bytes, headers: dict[str, str]) -> httpx.Response:
            return owner.http.patch(file, files={"thumbnail": ("t", picture)}, headers=headers)

        assert give(b"<svg/>", token).status_code == 400
        assert give(png + bytes(1 << 20), token).status_code == 413
        assert give(png, foreign).json()["thumbnail1_url"] is None  # it is on another printer
        shown = give(png, token).json()
        assert httpx.get(shown["thumbnail1_url"]).content == png
        assert give(png + b"2", token).json()["thumbnail2_url"] is None
        assert httpx.get(shown["thumbnail1_url"]).content == png
        assert "x-thumbnail" not in owner.http.post(own, data=told, headers=token).headers
        assert len([name for name in files_on_disk(tmp_path) if name.endswith(".png")]) == 1
        owner.http.delete(f"{URL}{made.json()['id']}/")
        assert not [name for name in files_on_disk(tmp_path) if name.endswith(".png")]
        owner.close()
