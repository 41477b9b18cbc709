"""Scaling, with OpenCV where it is installed and without."""

from __future__ import annotations

import logging
import sys

import pytest

from agent_core.features.jpeg import inspect
from agent_core.features.vision import Shrinker
from tests.fakes.pictures import jpeg


def test_ordinary_pictures_pass_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # importing it would fail
    picture = jpeg(1296, 972)
    assert Shrinker().fitted(picture) is picture


def test_without_the_extra_large_pictures_pass_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    picture = jpeg(4000, 3000)
    shrinker = Shrinker()
    with caplog.at_level(logging.INFO):
        assert shrinker.fitted(picture) is picture
        assert shrinker.fitted(picture) is picture
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(1920, 1080, (1280, 720)), (1600, 1600, (960, 960)), (600, 1300, (443, 960))]
)
def test_large_pictures_are_fitted(width: int, height: int, expected: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    numpy = pytest.importorskip("numpy")
    done, coded = cv2.imencode(".jpg", numpy.full((height, width, 3), 128, dtype=numpy.uint8))
    assert done
    size = inspect(Shrinker().fitted(bytes(coded)))
    assert (size.width, size.height) == expected


def test_what_opencv_cannot_read_is_left_to_the_server() -> None:
    pytest.importorskip("cv2")
    picture = jpeg(4000, 3000)
    assert Shrinker().fitted(picture) == picture
