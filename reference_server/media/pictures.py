"""The newest picture of each camera: checked, written, remembered (wire-protocol.md §4)."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone

from reference_server.media.jpeg import NotJpeg, read_size
from reference_server.media.storage import MediaStore
from reference_server.services.live import Picture

PRIMARY = "primary.jpg"


def snapshot_path(printer_id: int, camera: str, *, primary: bool) -> str:
    """One file a camera. A camera's name is free text, so other cameras' files are named by its hash."""
    name = PRIMARY if primary else f"camera_{hashlib.sha256(camera.encode('utf-8', 'replace')).hexdigest()[:16]}.jpg"
    return f"snapshots/{printer_id}/{name}"


class Pictures:
    def __init__(self, store: MediaStore) -> None:
        self._store = store

    def take(
        self, printer_id: int, data: bytes, camera: str, now: datetime, *, primary: bool, nozzle: bool
    ) -> Picture:
        """Raises NotJpeg, OSError."""
        size = read_size(data)
        path = snapshot_path(printer_id, camera, primary=primary)
        self._store.write(path, data)
        return Picture(camera, path, size.width, size.height, now, primary, nozzle)

    def recall(self, printer_id: int) -> Picture | None:
        """The primary picture of before the server's restart."""
        path = snapshot_path(printer_id, "", primary=True)
        data = self._store.read(path)
        times = dict(self._store.names(f"snapshots/{printer_id}"))
        if data is None or PRIMARY not in times:
            return None
        try:
            size = read_size(data)
        except NotJpeg:
            return None
        at = datetime.fromtimestamp(times[PRIMARY], timezone.utc)
        return Picture("", path, size.width, size.height, at, is_primary=True, is_nozzle=False)

    def remove(self, paths: list[str]) -> None:
        for path in paths:
            self._store.remove(path)
