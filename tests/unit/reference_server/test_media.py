"""JPEG headers, signed addresses, files written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_server.media.jpeg import NotJpeg, Size, read_size
from reference_server.media.pictures import Pictures, snapshot_path
from reference_server.media.signing import WINDOW, MediaSigner, load_key
from reference_server.media.storage import MediaStore
from reference_server.services.clock import utc_now
from tests.unit.reference_server.support import jpeg


def test_size_is_read_from_the_header() -> None:
    assert read_size(jpeg(640, 480)) == Size(640, 480)
    assert read_size(jpeg(640, 480) + b"\0" * 100) == Size(640, 480)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"\xff\xd8\xff",
        jpeg()[:-2],
        jpeg()[:20],
        jpeg(0, 5),
        jpeg(65535, 65535),
        jpeg().replace(b"\xff\xc0", b"\xff\xc4"),
        b"\xff\xd8\xff\xe0\x00\x01",
        b"\xff\xd8\xff\xc0\x00\x04\x08\x00" + b"\0" * 9,
        b"\xff\xd8\xff\xe0\x00\x04ab\x00\x00\x00\x00",
    ],
)
def test_what_is_no_whole_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(NotJpeg):
        read_size(data)


def test_signed_addresses_expire_and_cannot_be_moved() -> None:
    signer = MediaSigner(b"k" * 32)
    url = signer.url("snapshots/1/primary.jpg", 10_000.0, version=7)
    assert url.startswith("/media/snapshots/1/primary.jpg?v=7&expires=")
    expires = url.split("expires=")[1].split("&")[0]
    digest = url.split("digest=")[1]
    assert signer.allows("snapshots/1/primary.jpg", expires, digest, 10_000.0)
    assert not signer.allows("snapshots/2/primary.jpg", expires, digest, 10_000.0)
    assert not signer.allows("snapshots/1/primary.jpg", str(int(expires) + 1), digest, 10_000.0)
    assert not signer.allows("snapshots/1/primary.jpg", expires, digest, 10_000.0 + 2 * WINDOW)
    assert not MediaSigner(b"x" * 32).allows("snapshots/1/primary.jpg", expires, digest, 10_000.0)
    for odd in ("", "-1", "1e9", "٣"):
        assert not signer.allows("snapshots/1/primary.jpg", odd, digest, 10_000.0)
    assert not signer.allows("snapshots/1/primary.jpg", expires, "é", 10_000.0)


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    first = load_key(path, lambda size: b"a" * size)
    assert load_key(path, lambda size: b"b" * size) == first
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a//b", "", ".part-x", "a\0b", "a/"])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    store = MediaStore(tmp_path)
    assert store.locate(path) is None
    assert store.read(path) is None
    with pytest.raises(ValueError, match="no media path"):
        store.write(path, b"x")


def test_files_are_replaced_whole_and_leftovers_swept(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "media")
    store.prepare()
    store.write("a/b.jpg", b"one")
    store.write("a/b.jpg", b"two")
    assert store.read("a/b.jpg") == b"two"
    (tmp_path / "media" / "a" / ".part-zzz").write_bytes(b"half")
    store.prepare()
    assert [name for name, _ in store.names("a")] == ["b.jpg"]
    assert store.read("a") is None
    assert store.names("nowhere") == []
    store.remove("a/b.jpg")
    assert store.read("a/b.jpg") is None


def test_pictures_come_back_after_a_restart(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    pictures = Pictures(store)
    assert pictures.recall(3) is None
    taken = pictures.take(3, jpeg(32, 16), "front", utc_now(), primary=True, nozzle=False)
    found = pictures.recall(3)
    assert found is not None
    assert (found.path, found.width, found.height) == (taken.path, 32, 16)
    store.write(taken.path, b"rubbish")
    assert pictures.recall(3) is None
    assert snapshot_path(3, "../../x", primary=False).count("/") == 2
    pictures.remove([taken.path])
    assert store.read(taken.path) is None
