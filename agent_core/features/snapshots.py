"""Pictures to the server: taken in turn, posted, and whatever fails told once. All on a thread of its own, so that a
hanging camera delays neither status nor commands.

The thread also runs the agent's few other HTTP calls (`submit`), since a host may be given only so many threads.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent_core.config import AgentConfig, CameraConfig, Secret
from agent_core.errors import AgentError, AuthRefused, CameraFault, ServerTrouble, WrongPeer
from agent_core.features import cadence
from agent_core.features.cadence import Health, Shot, Turns, Wants
from agent_core.features.camera import HttpCamera
from agent_core.features.camera_urls import CameraUrls, resolve_camera_urls, shown
from agent_core.features.load import HostLoad, LoadKeeper, LoadState, read_host
from agent_core.features.server import authorized, endpoint, refusal
from agent_core.features.vision import Shrinker
from agent_core.ports import Camera, Clock, Http, HttpRequest, HttpResponse, Upload
from agent_core.runtime.worker import Task, Worker

__all__ = ["CameraUrls", "Counts", "Snapshots", "resolve_camera_urls", "shown"]

_log = logging.getLogger(__name__)

UPLOAD_SECONDS = 20.0
PERSON_REST = 300.0
"""Rest after a refusal that only a person can end: token revoked, printer gone, not our server."""

TASK_LIMIT = 50
"""Waiting HTTP calls of the core; each print makes one or two."""

OnCameraState = Callable[[str, bool, str | None], None]
"""(camera's name, works, reason if not): with its first picture, once when it fails, once when it is back; on the
snapshots thread."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Pictures since the start: taken by the server, not got from a camera, not taken by the server."""

    sent: int = 0
    camera_failures: int = 0
    upload_failures: int = 0


class Watch(Protocol):
    """Looks at pictures; neither call waits for it. `begin`: from any thread, another print is under way."""

    def begin(self) -> None: ...

    def offer(self, name: str, picture: bytes) -> None: ...


class Snapshots:
    """`update`, `boost` and `submit` may be called from any thread and never block. `worker` is started and stopped by
    the owner; its stop also closes `http`, which ends an exchange under way.
    """

    def __init__(
        self,
        config: AgentConfig,
        http: Http,
        clock: Clock,
        on_camera_state: OnCameraState,
        *,
        cameras: Sequence[Camera] | None = None,
        read_host: Callable[[], HostLoad] = read_host,
        watch: Watch | None = None,
    ) -> None:
        """`cameras`: what fetches for each of `config.cameras`, by default over `http`. `watch`: who looks at the
        pictures of a print on this machine."""
        self._config = config
        self._http = http
        self._clock = clock
        self._on_camera_state = on_camera_state
        fetchers = cameras or [HttpCamera(each, http, monotonic=clock.monotonic) for each in config.cameras]
        self._cameras: list[tuple[CameraConfig, Camera]] = list(zip(config.cameras, fetchers, strict=True))
        self._order = _primary_first(config.cameras)
        self._shrinker = Shrinker()
        self._load = LoadKeeper(config.pictures, read_host)
        self._watch = watch
        self.worker = Worker("snapshots", limit=TASK_LIMIT, tick=self.tick, on_stop=http.close)
        # Guards the two below, written by the core and the worker; never held during I/O.
        self._lock = threading.Lock()
        self._wants = Wants()
        self._turns = Turns()
        # The worker's own.
        self._queue: deque[Shot] = deque()  # of one turn, thus bounded by the number of cameras
        self._health = [Health() for _ in self._cameras]
        self._worked: set[int] = set()
        self._server = Health()
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        return self._counts

    @property
    def load(self) -> LoadState:
        """What is held back for the machine's and the network's sake."""
        return self._load.state

    def update(self, printing: bool, viewing: bool, should_watch: bool) -> None:
        """What the core knows now. A viewer who comes gets a picture at once."""
        wants = Wants(printing, viewing, should_watch)
        if self._watch is not None and printing and not self._wants.printing:
            self._watch.begin()
        with self._lock:
            if wants == self._wants:
                return
            came = viewing and not self._wants.viewing
            self._wants = wants
            if came:
                self._turns = cadence.boosted(self._turns, self._clock.monotonic())
        self.worker.wake()

    def boost(self) -> None:
        """The server spoke while somebody views: a picture at once (wire-protocol.md §3.6)."""
        with self._lock:
            self._turns = cadence.boosted(self._turns, self._clock.monotonic())
        self.worker.wake()

    def set_cameras(self, cameras: Sequence[CameraConfig]) -> bool:
        """Other cameras from the next turn on (a host that learns of them later); False if it cannot be taken now.

        The same cameras again change nothing: one that is broken is not told anew.
        """

        def take() -> None:
            if [config for config, _ in self._cameras] == list(cameras):
                return
            fetchers = [HttpCamera(each, self._http, monotonic=self._clock.monotonic) for each in cameras]
            self._cameras = [*zip(cameras, fetchers, strict=True)]
            self._order = _primary_first(cameras)
            self._health = [Health() for _ in self._cameras]
            self._worked.clear()
            self._queue.clear()
            self.worker.wake()

        return self.worker.submit(take)

    def submit(self, task: Task) -> bool:
        """Runs an HTTP call on the snapshots thread, between two pictures; False if it cannot be taken."""
        return self.worker.submit(task)

    def picture(self) -> bytes | None:
        """One of the primary camera, now, for an event; None if it gives none. On the snapshots thread only."""
        if not self._order:
            return None
        try:
            return self._shrinker.fitted(self._cameras[self._order[0]][1].fetch())
        except CameraFault as fault:
            _log.info("an event goes without a snapshot: %s", fault)
            return None

    def tick(self) -> float | None:
        """Takes and posts one picture if one is due; the seconds until the next call, None for "when woken"."""
        if not self._order or self._config.token is None:
            return None
        if not self._queue:
            now = self._clock.monotonic()
            factor = self._load.factor(self._wants.printing, now)
            with self._lock:
                begin = cadence.due(self._turns, self._wants, self._server, now, factor)
                if begin is not None:
                    begin = max(begin, self._load.free_at())
                if begin is None or begin > now:
                    return None if begin is None else begin - now
                self._turns, shots = cadence.turn(self._turns, self._order, now)
            self._queue.extend(shots)
        self._shoot(self._queue.popleft(), self._config.token)
        # Not 0: the tasks that wait come between two pictures.
        return 0.001

    def _shoot(self, shot: Shot, token: Secret) -> None:
        now = self._clock.monotonic()
        health = self._health[shot.camera]
        if now < self._server.not_before or (now < health.not_before and not shot.boosted):
            return
        config, camera = self._cameras[shot.camera]
        try:
            picture = camera.fetch()
        except CameraFault as fault:
            self._camera_failed(shot.camera, str(fault))
            return
        with self._lock:
            wanted = shot.boosted or cadence.interval(self._wants) is not None
        if not wanted:  # paused or ended while the camera took its time
            return
        if self._watch is not None and self._wants.printing and self._load.state.factor == 1:
            self._watch.offer(config.info.name, picture)
        if not shot.boosted and not self._load.wanted(config.info.name, picture, self._clock.monotonic()):
            self._camera_works(shot.camera)
            return
        self._post(shot, config, picture, token)

    def _post(self, shot: Shot, camera: CameraConfig, taken: bytes, token: Secret) -> None:
        picture = self._shrinker.fitted(taken)
        form = {
            "is_primary_camera": _word(shot.camera == self._order[0]),
            "is_nozzle_camera": _word(camera.info.nozzle),
            "camera_name": camera.info.name,
        }
        if shot.boosted:
            form["viewing_boost"] = "true"
        request = HttpRequest(
            "POST", endpoint(self._config, "pic/"), headers=authorized(token, self._config.extra_headers), form=form,
            files={"pic": Upload("pic.jpg", picture, "image/jpeg")}, timeout=UPLOAD_SECONDS,
            verify_tls=self._config.verify_tls,
        )  # fmt: skip
        self._load.sent(picture, self._clock.monotonic())
        try:
            response = self._http.send(request)
        except AgentError as error:
            self._camera_works(shot.camera)
            self._upload_failed(error)
            return
        if self._judge(shot, response, len(picture)):
            self._load.taken(camera.info.name, taken, self._clock.monotonic())

    def _judge(self, shot: Shot, response: HttpResponse, size: int) -> bool:
        """Whether the server took it."""
        if response.status == 413:
            reason = f"its pictures are too large for the server ({size} bytes); lower the camera's resolution"
            self._camera_failed(shot.camera, reason)
            return False
        if response.status == 400:
            self._camera_failed(shot.camera, "the server cannot read its pictures; open its address in a browser")
            return False
        self._camera_works(shot.camera)
        error = refusal(response, self._config.server_url)
        if error is not None:
            self._upload_failed(error)
            return False
        if self._server.failures:
            _log.info("the server takes pictures again")
        self._server = Health()
        self._counts = Counts(self._counts.sent + 1, self._counts.camera_failures, self._counts.upload_failures)
        return True

    def _upload_failed(self, error: AgentError) -> None:
        if not self._server.failures:
            _log.warning("pictures do not reach the server, trying on: %s", error)
        wait = error.retry_after if isinstance(error, ServerTrouble) else None
        if isinstance(error, AuthRefused | WrongPeer):
            wait = PERSON_REST
        self._server = cadence.server_failed(self._server, self._clock.monotonic(), wait)
        counts = self._counts
        self._counts = Counts(counts.sent, counts.camera_failures, counts.upload_failures + 1)

    def _camera_failed(self, index: int, reason: str) -> None:
        health = self._health[index]
        self._health[index] = cadence.camera_failed(health, self._clock.monotonic())
        counts = self._counts
        self._counts = Counts(counts.sent, counts.camera_failures + 1, counts.upload_failures)
        if not health.failures:
            name = self._cameras[index][0].info.name
            _log.warning("no picture from camera %s, trying on: %s", name or "(unnamed)", reason)
            self._on_camera_state(name, False, reason)

    def _camera_works(self, index: int) -> None:
        failed = self._health[index].failures > 0
        if not failed and index in self._worked:
            return
        self._health[index] = Health()
        self._worked.add(index)
        name = self._cameras[index][0].info.name
        if failed:
            _log.info("camera %s gives pictures again", name or "(unnamed)")
        self._on_camera_state(name, True, None)


def _primary_first(cameras: Sequence[CameraConfig]) -> tuple[int, ...]:
    """The cameras' indices; where none says it is the primary one, the first is."""
    return tuple(sorted(range(len(cameras)), key=lambda index: not cameras[index].info.primary))


def _word(value: bool) -> str:
    return "true" if value else "false"
