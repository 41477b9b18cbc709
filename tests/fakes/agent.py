"""A fake agent: the real protocol over a real socket, nothing behind it.

Links with a six-digit code, sends statuses and pictures when told to, and keeps what the server sends. Frames
have the shape of recorded ones (OctoPrint: file 05; Klipper: payload-mapping.md §10).
"""

from __future__ import annotations

import copy
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]

_FLAGS: Mapping[str, bool] = {
    "operational": True,
    "printing": False,
    "cancelling": False,
    "pausing": False,
    "resuming": False,
    "finishing": False,
    "closedOrError": False,
    "error": False,
    "paused": False,
    "ready": False,
    "sdReady": True,
}

_STATUS: Mapping[str, Any] = {
    "state": {"text": "Operational", "flags": {**_FLAGS, "ready": True}, "error": ""},
    "job": {
        "file": {"name": None, "path": None, "size": None, "origin": None, "date": None},
        "estimatedPrintTime": None,
        "lastPrintTime": None,
        "filament": {"length": None, "volume": None},
        "user": None,
    },
    "currentZ": None,
    "progress": {
        "completion": None,
        "filepos": None,
        "printTime": None,
        "printTimeLeft": None,
        "printTimeLeftOrigin": None,
    },
    "offsets": {},
    "resends": {"count": 0, "transmitted": 8, "ratio": 0},
    "temperatures": {
        "tool0": {"actual": 21.3, "target": 0.0, "offset": 0},
        "bed": {"actual": 21.3, "target": 0.0, "offset": 0},
        "chamber": {"actual": None, "target": None, "offset": 0},
    },
    "currentLayerHeight": None,
    "display_status": {"message": None},
    "file_metadata": None,
}

_FLAG_OF_TEXT = {
    "Printing": ("printing",),
    "Paused": ("paused",),
    "Pausing": ("printing", "pausing"),
    "Resuming": ("printing", "resuming"),
    "Cancelling": ("printing", "cancelling"),
    "Operational": ("ready",),
}


def idle_status(**changes: Any) -> Json:
    """A status of an idle printer; `changes` replace top-level keys."""
    return {**copy.deepcopy(dict(_STATUS)), "_ts": time.time(), **changes}


def job_status(
    text: str = "Printing",
    *,
    name: str = "benchy.gcode",
    completion: float | None = 32.4,
    print_time: float | None = 1800,
    left: float | None = 3690,
    layer: int | None = 31,
    layers: int | None = 96,
    z: float | None = 6.2,
    nozzle: tuple[float, float] = (214.8, 215.0),
    bed: tuple[float, float] = (60.0, 60.0),
    **changes: Any,
) -> Json:
    """A status with a job. Temperatures are (actual, target) in °C, times seconds, z millimetres."""
    flags = {**_FLAGS, **dict.fromkeys(_FLAG_OF_TEXT.get(text, ()), True)}
    status = idle_status(
        state={"text": text, "flags": flags, "error": ""},
        currentZ=z,
        currentLayerHeight=layer,
        file_metadata={"obico": {"totalLayerCount": layers}, "analysis": {"printingArea": {"maxZ": 19.2}}},
    )
    status["job"]["file"] = {
        "name": name,
        "path": name,
        "display": name,
        "origin": "local",
        "size": 812345,
        "date": 1766990000,
        "obico_g_code_file_id": None,
    }
    status["progress"] = {
        "completion": completion,
        "filepos": 263200,
        "printTime": print_time,
        "printTimeLeft": left,
        "printTimeLeftOrigin": "analysis",
        "filamentUsed": 1310.2,
    }
    status["temperatures"]["tool0"] = {"actual": nozzle[0], "target": nozzle[1], "offset": 0}
    status["temperatures"]["bed"] = {"actual": bed[0], "target": bed[1], "offset": 0}
    return {**status, **changes}


class FakeAgent:
    """One printer's agent. Not thread-safe but for what its own reader collects.

    Args:
        server: base URL, e.g. ``http://127.0.0.1:3334``.
        token: the printer's auth token.
        name, version: sent as ``settings.agent``; ours start at 3.0.0.
        acks: states that every command is answered with at once, e.g. ``("accepted",)``; none: a public agent.
    """

    def __init__(
        self,
        server: str,
        token: str,
        *,
        name: str = "octoprint_obico",
        version: str = "3.0.0",
        acks: tuple[str, ...] = (),
    ) -> None:
        self.server = server.rstrip("/")
        self.token = token
        self.name = name
        self.version = version
        self.acks = acks
        self.functions: dict[str, Callable[..., Any]] = {}  # "target.func" -> what answers; raises ValueError to refuse
        self.received: list[Json] = []  # bounded by the length of a test
        self.closed_with: int | None = None
        self._changed = threading.Condition()
        self._open = ExitStack()
        self._socket: ClientConnection | None = None
        self._reader: threading.Thread | None = None

    @classmethod
    def link(cls, server: str, code: str, *, name: str = "octoprint_obico", acks: tuple[str, ...] = ()) -> FakeAgent:
        """Trade a six-digit code for a token (wire-protocol §2.1).

        Raises:
            urllib.error.HTTPError: the server refused the code.
        """
        query = urllib.parse.urlencode({"code": code})
        answer = cls._call(f"{server.rstrip('/')}/api/v1/octo/verify/?{query}", b"", {})
        return cls(server, answer["printer"]["auth_token"], name=name, acks=acks)

    @staticmethod
    def _call(url: str, body: bytes, headers: Mapping[str, str]) -> Json:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: Json = json.load(answer)
        return content

    # -- the socket

    def connect(self) -> FakeAgent:
        """Open the socket and wait for the server's first frame."""
        self._socket = self._open.enter_context(
            connect(
                "ws" + self.server.removeprefix("http") + "/ws/dev/",
                additional_headers={"authorization": f"bearer {self.token}"},
                open_timeout=10,
                proxy=None,
            )
        )
        self.closed_with = None
        self._reader = threading.Thread(target=self._read, args=(self._socket,), name="fake agent", daemon=True)
        self._reader.start()
        self.wait_for(lambda frame: "remote_status" in frame)
        return self

    def close(self) -> None:
        """Say goodbye as a stopping agent does."""
        self._open.close()
        if self._reader is not None:
            self._reader.join(10)
        self._socket = self._reader = None

    def _read(self, socket: ClientConnection) -> None:
        try:
            for frame in socket:
                if isinstance(frame, bytes):
                    continue
                message: Json = json.loads(frame)
                with self._changed:
                    self.received.append(message)
                    self._changed.notify_all()
                if (call := message.get("passthru")) is not None:
                    self._answer(call)
                for command in message.get("commands", ()):
                    for state in self.acks:
                        self.ack(command, state)
        except ConnectionClosed:
            pass
        finally:
            with self._changed:
                self.closed_with = socket.close_code
                self._changed.notify_all()

    def _answer(self, call: Json) -> None:
        """Answer a passthru call (wire-protocol §8), if the test has said how; else stay silent."""
        function = self.functions.get(f"{call.get('target')}.{call.get('func')}")
        if function is None:
            return
        try:
            said = {"ret": function(*call.get("args", ()))}
        except ValueError as error:
            said = {"error": str(error)}
        with suppress(ConnectionClosed):
            self.send({"passthru": {"ref": call["ref"], **said}})

    def send(self, message: Mapping[str, Any]) -> None:
        """One text frame.

        Raises:
            ConnectionClosed: the server has gone.
        """
        assert self._socket is not None, "connect first"
        self._socket.send(json.dumps(message))

    def send_status(
        self,
        status: Mapping[str, Any] | None,
        *,
        print_ts: int | None = -1,
        event: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """A status message (wire-protocol §3.3), with the agent block that every settings block repeats."""
        message: Json = {"current_print_ts": print_ts, "status": status}
        if event is not None:
            name = (status or {}).get("job", {}).get("file", {}).get("name")
            message["event"] = {"event_type": event, "data": {"name": name}}
        message["settings"] = {"agent": {"name": self.name, "version": self.version}, "webcams": [], **(settings or {})}
        self.send(message)

    def ack(
        self, command: Mapping[str, Any], state: str, error: str | None = None, text: str | None = None
    ) -> None:
        """Tell what became of a command (extensions.md, command_ack); `text`: what was really done."""
        more = {} if text is None else {"text": text}
        with suppress(ConnectionClosed):
            self.send({"command_ack": {"id": command["id"], "state": state, "error": error, **more}})

    # -- what came from the server

    def wait_for(self, wanted: Callable[[Json], bool], timeout: float = 15) -> Json:
        """The first frame received so far, or within `timeout` seconds, that is `wanted`.

        Raises:
            AssertionError: none came in time.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for frame in self.received:
                    if wanted(frame):
                        return frame
                left = deadline - time.monotonic()
                assert left > 0, f"the frame did not come within {timeout} s; received: {self.received[-5:]}"
                self._changed.wait(left)

    def wait_for_command(self, cmd: str, timeout: float = 15) -> Json:
        """The newest entry of ``commands`` named `cmd`: ``{cmd, args, initiator, id?}``."""

        def named(frame: Json) -> bool:
            return any(item["cmd"] == cmd for item in frame.get("commands", ()))

        self.wait_for(named, timeout)
        with self._changed:
            frame = next(frame for frame in reversed(self.received) if named(frame))
        command: Json = next(item for item in frame["commands"] if item["cmd"] == cmd)
        return command

    # -- pictures

    def post_picture(self, jpeg: bytes, *, camera: str = "") -> None:
        """Upload one picture of the primary camera (wire-protocol §4).

        Raises:
            urllib.error.HTTPError: the server refused it.
        """
        boundary = "fake-agent-boundary"
        fields = {"is_primary_camera": "true", "camera_name": camera, "viewing_boost": "false"}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="pic"; filename="pic.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n".encode()
            + jpeg
            + f"\r\n--{boundary}--\r\n".encode()
        )
        self._call(
            f"{self.server}/api/v1/octo/pic/",
            b"".join(parts),
            {
                "Authorization": f"Token {self.token}",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
        )
