"""A print's pictures become a video that players accept; the same one when the server is killed in the middle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from demo.history import PICTURES, STORIES, seed_history
from tests.contract.timelapse_rig import Rig, drawn
from tests.unit.reference_server.live_server import Socket, wait_until

PAUSE = threading.Event()  # never set
MINUTE_OF_PICTURES = 6  # an agent that is watched sends one in 10 s


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path)
    yield found
    found.close()


def probe(video: Path) -> dict[str, Any]:
    assert shutil.which("ffprobe"), "the Debian package ffmpeg is not installed (make packages)"
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", str(video)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def first_picture(video: Path, folder: Path) -> Image.Image:
    out = folder / "first.png"
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-i", str(video), "-frames:v", "1", str(out)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Image.open(out).convert("RGB")


def red_corner(image: Image.Image) -> str:
    """Where the red square is."""
    width, height = image.size
    spots = {"upper left": (5, 5), "upper right": (width - 6, 5), "lower left": (5, height - 6),
             "lower right": (width - 6, height - 6)}  # fmt: skip
    (found,) = [name for name, spot in spots.items() if _is_red(image, spot)]
    return found


def _is_red(image: Image.Image, spot: tuple[int, int]) -> bool:
    colour = image.getpixel(spot)
    assert isinstance(colour, tuple)
    return colour[0] > 150 and colour[1] < 100


def test_a_two_minute_print_becomes_a_video_that_players_accept(rig: Rig, tmp_path: Path) -> None:
    rig.change(min_timelapse_secs_on_finish=100)
    print_id = rig.print(drawn(number) for number in range(2 * MINUTE_OF_PICTURES))
    shown = rig.wait(print_id, "done")
    assert shown["timelapse"] == {"state": "done", "progress": 1.0, "error": None}
    assert shown["tagged_video_url"] is None  # no detection, no tagged pictures
    video = tmp_path / "video.mp4"
    answer = rig.http.get(shown["video_url"], headers={"Cookie": ""})
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    video.write_bytes(answer.content)
    (stream,) = probe(video)["streams"]
    facts = {key: stream[key] for key in ("codec_name", "pix_fmt", "r_frame_rate", "width", "height", "nb_read_frames")}
    assert facts == {
        "codec_name": "h264", "pix_fmt": "yuv420p", "r_frame_rate": "30/1", "width": 640, "height": 480,
        "nb_read_frames": "12",
    }  # fmt: skip
    # moov before mdat: a player begins before it has all of the file.
    assert 0 < answer.content.index(b"moov") < answer.content.index(b"mdat")
    # A player fetches the part that it wants.
    part = rig.http.get(shown["video_url"], headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, answer.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(answer.content)}"
    assert rig.http.get(shown["video_url"], headers={"Range": f"bytes={10**9}-"}).status_code == 416
    tampered = shown["video_url"].replace("digest=", "digest=0")
    assert rig.http.get(tampered, headers={"Range": "bytes=0-1"}).status_code == 403
    poster = Image.open(io.BytesIO(rig.http.get(shown["poster_url"]).content))
    assert poster.size == (640, 480)
    ended = rig.http.get("/api/v1/printer_events/?limit=1").json()[0]
    assert ended["event_type"] == "ENDED"
    assert rig.http.get(ended["image_url"]).content == rig.http.get(shown["poster_url"]).content
    # Nothing but the outcome is left.
    wait_until(lambda: not (tmp_path / "media" / "frames" / str(print_id)).exists())
    assert sorted(entry.name for entry in (tmp_path / "media" / "videos" / str(print_id)).iterdir()) == [
        "poster.jpg", "timelapse.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("webcam", "corner", "size"),
    [
        ({"flipH": True, "flipV": False, "rotation": 0}, "upper right", (640, 480)),
        ({"flipH": False, "flipV": True, "rotation": 0}, "lower left", (640, 480)),
        ({"flipH": False, "flipV": False, "rotation": 90}, "upper right", (480, 640)),
        ({"flipH": True, "flipV": False, "rotation": 270}, "upper left", (480, 640)),
    ],
)
def test_video_and_poster_are_turned_as_the_camera_asks(
    rig: Rig, tmp_path: Path, webcam: dict[str, Any], corner: str, size: tuple[int, int]
) -> None:
    rig.change(min_timelapse_secs_on_cancel=100)
    camera = {"name": "cam", "is_primary_camera": True, "streamRatio": "4:3", **webcam}
    print_id = rig.print((drawn(number) for number in range(3)), end="PrintFailed", webcam=camera)
    shown = rig.wait(print_id, "done")
    video = tmp_path / "video.mp4"
    video.write_bytes(rig.http.get(shown["video_url"]).content)
    first = first_picture(video, tmp_path)
    assert (first.size, red_corner(first)) == (size, corner)
    poster = ImageOps.exif_transpose(Image.open(io.BytesIO(rig.http.get(shown["poster_url"]).content)))
    assert (poster.size, red_corner(poster.convert("RGB"))) == (size, corner)


def test_short_prints_get_no_video_and_keep_no_pictures(rig: Rig, tmp_path: Path) -> None:
    rig.change(min_timelapse_secs_on_finish=-1)
    off = rig.print((drawn(number) for number in range(3)), seconds=7000)
    assert rig.wait(off, "none")["timelapse"]["error"] == "Time-lapses of finished prints are switched off."
    rig.change(min_timelapse_secs_on_finish=600)
    short = rig.print((drawn(number) for number in range(3)), seconds=500)
    shown = rig.wait(short, "none")
    assert "shorter than 600 s" in shown["timelapse"]["error"]
    assert shown["video_url"] is None
    assert rig.http.get(shown["poster_url"]).status_code == 200
    wait_until(lambda: not any((tmp_path / "media" / "frames").iterdir()))


def builder_of(server: int) -> int:
    """The program that builds the server's video, as soon as there is one."""
    found: list[int] = []

    def there() -> bool:
        pids = "".join(path.read_text() for path in Path(f"/proc/{server}/task").glob("*/children")).split()
        found.extend(int(pid) for pid in pids if "video_child" in Path(f"/proc/{pid}/cmdline").read_text())
        return bool(found)

    wait_until(there, 60)
    return found[0]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(400)  # three videos are built, niced: a busy machine lets them wait
def test_a_server_killed_in_the_middle_of_building_ends_with_the_same_video(rig: Rig, tmp_path: Path) -> None:
    rig.change(min_timelapse_secs_on_finish=100)
    pictures = [drawn(number, (960, 720), turn=60) for number in range(24)] * 3
    whole = rig.wait(rig.print(pictures), "done", 150)
    expected = hashlib.sha256(rig.http.get(whole["video_url"]).content).hexdigest()

    print_id = rig.print(pictures, seconds=150)
    assert rig.program.process is not None
    server = rig.program.process.pid
    child = builder_of(server)
    progress = 0.0
    while progress < 0.1:  # let it work a moment at a time, so that it cannot be done before we look
        os.kill(child, signal.SIGCONT)
        PAUSE.wait(0.05)
        os.kill(child, signal.SIGSTOP)
        timelapse = rig.shown(print_id)["timelapse"]
        assert timelapse["state"] == "building"
        assert timelapse["progress"] >= progress
        progress = timelapse["progress"]
    os.kill(server, signal.SIGKILL)
    os.kill(child, signal.SIGCONT)
    rig.program.process.wait(20)
    assert rig.program.process.stdout is not None
    rig.program.process.stdout.close()
    wait_until(lambda: not is_alive(child))  # it does not outlive its server
    rig.program.start()
    shown = rig.wait(print_id, "done", 150)
    assert hashlib.sha256(rig.http.get(shown["video_url"]).content).hexdigest() == expected
    print(f"killed at {progress:.2f} of the building; sha256 {expected[:16]}")
    folder = tmp_path / "media" / "videos" / str(print_id)
    assert sorted(entry.name for entry in folder.iterdir()) == ["poster.jpg", "timelapse.mp4"]


def test_web_clients_see_the_progress(rig: Rig) -> None:
    rig.change(min_timelapse_secs_on_finish=100)
    viewer = Socket(f"ws://127.0.0.1:{rig.program.port}/ws/token/web/{rig.token}/")
    frames: list[dict[str, Any]] = []

    def is_last(frame: dict[str, Any]) -> bool:
        frames.append(frame.get("timelapse") or {})
        return frames[-1].get("state") == "done"

    def watch() -> None:
        viewer.until(is_last, 60)

    watcher = threading.Thread(target=watch)
    watcher.start()
    print_id = rig.print(drawn(number, (1280, 960), turn=60) for number in range(30))
    watcher.join(70)
    viewer.close()
    states = [frame["state"] for frame in frames if frame]
    assert states[0] == "building"
    assert states[-1] == "done"
    assert any(0 < frame["progress"] < 1 for frame in frames if frame)
    assert {frame["print_id"] for frame in frames if frame} == {print_id}


def test_the_demos_history_gets_its_videos_from_the_running_server(rig: Rig, tmp_path: Path) -> None:
    made = seed_history(tmp_path)
    assert len(made) == len(STORIES)
    assert seed_history(tmp_path) == []
    for print_id, story in zip(made, STORIES, strict=True):
        shown = rig.wait(print_id, "done")
        assert (shown["filename"], shown["ended_reason"]) == (story.filename, story.reason.value)
        assert (shown["tagged_video_url"] is not None) is story.failing
        video = tmp_path / "video.mp4"
        video.write_bytes(rig.http.get(shown["video_url"]).content)
        (stream,) = probe(video)["streams"]
        assert int(stream["nb_read_frames"]) == round(PICTURES * story.fraction)
        if story.failing:  # as long as the other one: boxes come and go
            video.write_bytes(rig.http.get(shown["tagged_video_url"]).content)
            assert probe(video)["streams"][0]["nb_read_frames"] == stream["nb_read_frames"]
        assert rig.http.get(shown["poster_url"]).status_code == 200
    events = rig.http.get("/api/v1/printer_events/?limit=100").json()
    assert len({event["print"] for event in events if event["event_type"] == "ENDED"}) == len(STORIES)
