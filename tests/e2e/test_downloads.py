"""Upload a file to the server, print it: on each kind of printer, through a connection that breaks three times."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.proxy import Proxy
from demo.parts import Server
from demo.processes import wait_for
from demo.rest import Rest
from tests.e2e import rig

SIZE = 50_000_000
NAME = "fifty megabytes.gcode"
CUTS = (9_000_000, 21_000_000, 37_000_000)


def large_file(start: str) -> bytes:
    """Some moves, then comments that nothing compresses or guesses."""
    noise = random.Random(50).randbytes(SIZE // 2 + 1).hex()
    lines = (f"; {noise[at : at + 998]}\n" for at in range(0, len(noise), 998))
    return (start + "".join(lines)).encode()[: SIZE - 1] + b"\n"


def upload(rest: Rest, name: str, content: bytes) -> dict[str, Any]:
    """As a slicer does."""
    boundary = "a-part-ends-here-9c2"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode() + content + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
    request = urllib.request.Request(
        f"{rest.url}/api/v1/g_code_files/", data=body,
        headers={"Authorization": f"Bearer {rest.key}", "Content-Type": f"multipart/form-data; boundary={boundary}"},
    )  # fmt: skip
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return dict(json.load(answer))




@contextlib.contextmanager
def through(printer: rig.Printer, server: Server) -> Iterator[Proxy]:
    """The printer's agent talks to the server through a proxy; afterwards as before."""
    with Proxy(("127.0.0.1", server.port)) as proxy:
        printer.reconnect(lambda: printer.relink(proxy.url))
        printer.wait_state("Operational")
        try:
            yield proxy
        finally:
            proxy.cut_after.clear()
            printer.reconnect(lambda: printer.relink(server.url))


def stored(printer: rig.OctoPrintPrinter | rig.KlipperPrinter) -> list[Path]:
    """What lies in the folder of downloads at the host, also half-done, but for what the hosts note of their files."""
    folder = printer.downloads
    found = sorted(folder.iterdir()) if folder.exists() else []
    return [path for path in found if path.is_file() and path.suffix != ".json"]


def test_fifty_megabytes_through_three_cuts(
    printer: rig.OctoPrintPrinter | rig.KlipperPrinter, server: Server
) -> None:
    content = large_file(printer.slow_file)
    file = upload(server.rest, NAME, content)
    assert file["num_bytes"] == SIZE
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    watcher = rig.Watcher(server.rest, printer.number)
    try:
        with through(printer, server) as proxy:
            printer.hold()
            proxy.cut_after += [proxy.bytes_down + cut for cut in CUTS]
            answer = server.rest.post(f"/api/v1/g_code_files/{file['id']}/print/", {"printer_id": printer.number})
            assert answer["succeeded"], answer["reason"]
            print_ = printer.current(60)
            assert proxy.cut_after == [], "the connection broke three times"
            (path,) = stored(printer)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file["sha256"]
            linked = wait_for(
                lambda: server.rest.get(f"/api/v1/prints/{print_['id']}/")["g_code_file"], 20, "the link to the file"
            )
            assert linked == file["id"]
            assert "G-Code Downloading" in watcher.states
            # What prints is not disturbed by another order.
            busy = server.rest.post(f"/api/v1/g_code_files/{file['id']}/print/", {"printer_id": printer.number})
            assert (busy["succeeded"], busy["reason"]) == (False, "Printer busy!")
            printer.host_cancel()
            printer.ended(print_["id"])
    finally:
        watcher.close()
        for path in stored(printer):
            path.unlink()
