"""The search inside OctoPrint: begins by itself only where somebody chose a server, ends with the link."""

from __future__ import annotations

from collections.abc import Callable

from agent_core.config import DEFAULT_SERVER, Secret
from agent_core.features.discovery import Phase, Progress
from agent_core.features.handshake import Handshake
from octoprint_obico.discovery import Finder, Keep
from octoprint_obico.settings import Preferences

SERVER = "http://192.168.1.20:3334"


class FakeSearch:
    def __init__(self, server: str, tell: Callable[[Progress], None], seconds: float) -> None:
        self.server, self.tell, self.seconds = server, tell, seconds
        self.handshake = Handshake("9f" * 16, "ab" * 32, seconds, lambda: 0.0, lambda: "n")
        self.progress = Progress(Phase.SEARCHING, 600.0, True, "k3x9a", f"{SERVER}/#/link?passcode=k3x9a")
        self.started = self.stopped = False

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stopped = True

    def join(self, seconds: float) -> bool:
        return self.stopped


class World:
    def __init__(self) -> None:
        self.searches: list[FakeSearch] = []
        self.changes = 0
        self.finder = Finder(self.build, lambda server, linked: None, self, self.changed)

    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 100.0

    def changed(self) -> None:
        self.changes += 1

    def build(self, server: str, keep: Keep, tell: Callable[[Progress], None], seconds: float) -> FakeSearch:
        self.searches.append(FakeSearch(server, tell, seconds))
        return self.searches[-1]


def ended(world: World, number: int) -> bool:
    """Whether that search was stopped, and is shown no more."""
    return world.searches[number].stopped and world.finder.status() is None


def chosen(server: str = SERVER, token: str | None = None, discovery: bool = True) -> Preferences:
    return Preferences(server, Secret(token) if token else None, frozenset(), "", discovery)


def test_it_begins_by_itself_once_and_only_for_a_chosen_server() -> None:
    world = World()
    for preferences in (None, chosen(DEFAULT_SERVER), chosen(discovery=False)):
        world.finder.follow(preferences)
        assert world.searches == []
    world.finder.follow(chosen())
    (search,) = world.searches
    assert (search.server, search.started, search.seconds) == (SERVER, True, 600.0)
    assert world.finder.handshake is search.handshake
    world.finder.stop()
    assert ended(world, 0)
    world.finder.follow(chosen())
    assert len(world.searches) == 1
    assert world.finder.join(1)


def test_unlinked_by_hand_it_stays_silent() -> None:
    world = World()
    world.finder.follow(chosen(token="t"))
    world.finder.follow(chosen())
    assert world.searches == []


def test_it_ends_when_the_printer_is_linked_by_whatever_way() -> None:
    world = World()
    world.finder.follow(chosen())
    world.finder.follow(chosen())  # another setting was changed
    assert not ended(world, 0)
    world.finder.follow(chosen(token="fresh"))
    assert ended(world, 0)


def test_a_linked_printer_can_be_linked_anew() -> None:
    world = World()
    world.finder.start(SERVER, Secret("old"))
    world.finder.follow(chosen(token="old"))
    world.finder.start(SERVER, Secret("old"))  # pressed again
    assert (world.searches[0].stopped, ended(world, 1)) == (True, False)
    world.finder.follow(chosen(token="fresh"))
    assert ended(world, 1)
    world.finder.start(SERVER, None)
    world.finder.follow(None)  # settings that cannot be used
    assert ended(world, 2)


def test_the_page_is_told_what_to_show() -> None:
    world = World()
    world.finder.start(SERVER, None)
    status = world.finder.status()
    assert status is not None
    assert (status["state"], status["passcode"], status["seconds_left"]) == ("searching", "k3x9a", 500)
    assert status["qr"].startswith("data:image/svg+xml;base64,")
    before = world.changes
    search = world.searches[0]
    search.tell(search.progress)
    assert world.changes == before + 1
    search.progress = Progress(Phase.ENDED, 600.0, trouble="nobody came")
    status = world.finder.status()
    assert status is not None
    assert (status["qr"], status["seconds_left"], status["trouble"]) == (None, 0, "nobody came")
    search.progress = Progress(Phase.SEARCHING, 600.0, True, "k3x9a", "http://x/" + "a" * 300)
    status = world.finder.status()
    assert status is not None
    assert status["qr"] is None  # too long to draw
