from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from agent_core.config import DEFAULT_SERVER, PictureRules, Secret
from agent_core.errors import ConfigInvalid
from octoprint_obico.settings import (
    DEFAULTS,
    ProvidedWebcam,
    agent_config,
    cameras,
    host_settings,
    migrated,
    preferences,
    saveable,
    without_token,
)
from octoprint_obico.updates import check_config


@dataclass
class Compat:
    stream: str = "/webcam/?action=stream"
    snapshot: str | None = None
    snapshotSslValidation: bool = True  # noqa: N815 - OctoPrint's name
    streamRatio: Any = "16:9"  # noqa: N815 - OctoPrint's name


@dataclass
class Cam:
    name: str = "classic"
    displayName: str = "Shelf"  # noqa: N815 - OctoPrint's name
    flipH: bool = False  # noqa: N815 - OctoPrint's name
    flipV: bool = False  # noqa: N815 - OctoPrint's name
    rotate90: bool = False
    compat: Any = field(default_factory=Compat)


def chosen(**values: Any) -> Any:
    return preferences({**DEFAULTS, **values})


def test_the_public_plugins_settings_are_read() -> None:
    got = chosen(endpoint_prefix="https://app.obico.io/", auth_token="abc123", pi_cam_resolution="medium")
    assert (got.server, got.token) == ("https://app.obico.io", Secret("abc123"))
    assert "abc123" not in repr(got)
    assert chosen() == preferences(dict(DEFAULTS))
    assert (chosen().server, chosen().token) == (DEFAULT_SERVER, None)


@pytest.mark.parametrize("token", [None, "", "  ", False, [], {}])
def test_no_token_is_not_linked(token: Any) -> None:
    assert chosen(auth_token=token).token is None


def test_a_token_that_yaml_took_for_a_number_is_one() -> None:
    assert chosen(auth_token=12345678901234567890).token == Secret("12345678901234567890")


@pytest.mark.parametrize(
    "values",
    [
        {"endpoint_prefix": 7},
        {"endpoint_prefix": None},
        {"endpoint_prefix": "ftp://x"},
        {"endpoint_prefix": "http://u:p@x"},
        {"auth_token": "has a space"},
        {"auth_token": "line\nbreak"},
        {"auth_token": "x" * 500},
    ],
)
def test_settings_that_cannot_be_used_are_named_without_secrets(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        chosen(**values)
    assert "has a space" not in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_cameras_with_one_primary_unique_names_and_absolute_addresses() -> None:
    found = cameras(
        [
            ProvidedWebcam(Cam()),
            ProvidedWebcam(Cam("two", rotate90=True, compat=Compat("http://two/?action=stream", streamRatio="4:3"))),
            ProvidedWebcam(Cam("video", compat=Compat("webrtc://x"))),
            ProvidedWebcam(Cam("nothing", compat=None)),
        ],
        chosen(),
        "two",
    )
    assert [(camera.info.name, camera.info.primary) for camera in found] == [("Shelf", False), ("Shelf (2)", True)]
    assert found[0].stream_url == "http://127.0.0.1/webcam/?action=stream"
    assert found[0].snapshot_url == "http://127.0.0.1/webcam/?action=snapshot"
    assert (found[0].info.ratio, found[1].info.ratio, found[1].info.rotation) == ("16:9", "4:3", 270)


def test_the_user_chooses_the_primary_camera_and_the_one_without_certificate_check() -> None:
    two = [ProvidedWebcam(Cam()), ProvidedWebcam(Cam("two", "Top"))]
    found = cameras(two, chosen(primary_camera="Top", insecure_cameras=["Top", 7]), "classic")
    assert [(camera.info.primary, camera.verify_tls) for camera in found] == [(False, True), (True, False)]
    assert cameras(two, chosen(primary_camera="gone"), "gone")[0].info.primary is True
    assert cameras([], chosen(), None) == ()


def test_credentials_go_into_the_address_escaped() -> None:
    cam = Cam(compat=Compat("", "https://cam/pic.jpg"))
    (found,) = cameras([ProvidedWebcam(cam, "ada", "p@ss:w/rd")], chosen(), None)
    assert found.snapshot_url == "https://ada:p%40ss%3Aw%2Frd@cam/pic.jpg"


def test_an_address_that_cannot_be_read_leaves_the_camera_out() -> None:
    assert cameras([ProvidedWebcam(Cam(compat=Compat("http://[", "http://x:99999/")))], chosen(), None) == ()


def test_no_more_cameras_than_sixteen() -> None:
    assert len(cameras([ProvidedWebcam(Cam(str(number))) for number in range(40)], chosen(), None)) == 16


def test_the_token_is_neither_shown_nor_taken_from_a_browser() -> None:
    assert without_token({"auth_token": "secret", "x": 1}) == {"x": 1}
    assert saveable({"auth_token": "***", "endpoint_prefix": "192.168.1.5:3334/"}) == {
        "endpoint_prefix": "http://192.168.1.5:3334"
    }
    with pytest.raises(ConfigInvalid):
        saveable({"endpoint_prefix": "no server"})


def test_old_settings_are_mended_and_the_rest_is_left_alone() -> None:
    old = {
        "endpoint_prefix": "https://app.obico.io/", "auth_token": 12345678901234567890, "sentry_opt": "out",
        "disable_video_streaming": "yes", "insecure_cameras": ["Shelf", 5],
    }  # fmt: skip
    assert migrated(old) == {
        "endpoint_prefix": "https://app.obico.io", "auth_token": "12345678901234567890",
        "disable_video_streaming": True, "insecure_cameras": ["Shelf"],
    }  # fmt: skip
    assert migrated({**old, **migrated(old)}) == {}
    assert migrated(dict(DEFAULTS)) == {}
    # What cannot be mended stays, to be told where it is used.
    assert migrated({"endpoint_prefix": "no server", "auth_token": " t\n"}) == {"auth_token": "t"}
    assert migrated({"endpoint_prefix": ["x"]}) == {"endpoint_prefix": DEFAULTS["endpoint_prefix"]}


def test_no_browser_says_where_code_comes_from() -> None:
    assert saveable({"update_repository": "evil/obico", "tell_plugins": False}) == {"tell_plugins": False}


def test_updates_are_looked_for_only_where_the_owner_said() -> None:
    for nowhere in ("", None, 5, "name", "a/b/c", "https://github.com/a/b", "../..", "a/..", "a b/c"):
        assert check_config(nowhere, "obico", "3.0.0") == {}
    found = check_config(" maker/obico-agent ", "obico", "3.0.0")["obico"]
    assert (found["type"], found["user"], found["repo"], found["current"]) == (
        "github_release", "maker", "obico-agent", "3.0.0"
    )  # fmt: skip
    assert found["pip"] == "https://github.com/maker/obico-agent/archive/{target_version}.zip"


def test_agent_config_prints_no_token() -> None:
    config = agent_config(chosen(auth_token="secret99"), (), version="3.0.0", data_dir="/x")
    assert (config.agent_name, config.agent_version) == ("octoprint_obico", "3.0.0")
    assert "secret99" not in repr(config)


def test_the_settings_block() -> None:
    found = host_settings(
        cameras([ProvidedWebcam(Cam())], chosen(), None),
        [{"name": "ABS", "extruder": 210, "bed": 100, "chamber": None, "note": 1}, "rubbish"],
        uname=("Linux", "pi"),
        board="Raspberry Pi 4",
        plugins=["b", "a"],
        firmware={"FIRMWARE_NAME": "Marlin" * 100, "N": 5},
        octoprint_version="1.11.8",
    )
    assert found.temperature_profiles == ({"name": "ABS", "extruder": 210, "bed": 100, "chamber": None},)
    assert found.platform_uname == ("Linux", "pi", "Raspberry Pi 4")
    assert found.installed_plugins == ("a", "b")
    assert found.printer_metadata == {"FIRMWARE_NAME": ("Marlin" * 100)[:300], "N": "5"}
    assert found.extra == {"octoprint_version": "1.11.8"}
    assert [camera.name for camera in found.cameras or ()] == ["Shelf"]


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, None), ("", None), ("500", 500.0), (3, 8.0), (-1, None), ("fast", None), (None, None)]
)
def test_what_pictures_may_cost(limit: object, expected: float | None) -> None:
    chosen = preferences({"endpoint_prefix": "", "back_off": False, "upload_limit": limit, "watch_cameras": True})
    assert chosen.pictures == PictureRules(back_off=False, upload_kbit=expected, watch=True)
    assert agent_config(chosen, (), version="3", data_dir="/x").pictures is chosen.pictures
    assert preferences({"endpoint_prefix": ""}).pictures == PictureRules()
