"""What the service needs of OctoPrint and of agent_core's parts that do I/O, as Protocols; tests put their own in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent_core.commands import CommandResult
from agent_core.config import AgentConfig, CameraConfig, Secret
from agent_core.features.layers import LayerIndexes
from agent_core.features.load import LoadState
from agent_core.features.pause_reason import PauseReason
from agent_core.model import ActivePrint, HostEvent, HostSettings, Job, LinkState
from agent_core.ports import Clock
from agent_core.wire.messages import CommandName
from octoprint_obico import settings
from octoprint_obico.diagnosis import Diagnosis, Surroundings
from octoprint_obico.report import Reading

STOP_SECONDS = 3.0
"""What OctoPrint's shutdown may have to wait for us."""


class Host(Protocol):
    """OctoPrint, as far as the service needs it. None of these waits for the network."""

    def values(self) -> Mapping[str, Any]:
        """The plugin's settings."""
        ...

    def save(self, values: Mapping[str, Any]) -> None:
        """Changes some of them, on disk when it returns."""
        ...

    def webcams(self) -> tuple[list[settings.ProvidedWebcam], str | None]:
        """OctoPrint's webcams, and the name of the one it takes snapshots from."""
        ...

    def facts(self, config: AgentConfig) -> HostSettings: ...

    def reading(self) -> Reading: ...

    def surroundings(self) -> Surroundings:
        """OctoPrint itself, for the doctor."""
        ...

    def file_on_disk(self, job: Job) -> str | None:
        """Where the job's file lies; None for one that OctoPrint does not keep (on the printer's own card)."""
        ...

    def changed(self) -> None:
        """Tells the pages that are open to look again."""
        ...

    def tell(self, event: str, payload: Mapping[str, Any]) -> None:
        """Tells other plugins: OctoPrint's event `plugin_obico_<event>`."""
        ...


class RunningAgent(Protocol):
    """agent_core's Agent."""

    @property
    def link(self) -> LinkState: ...

    @property
    def cameras(self) -> Mapping[str, str | None]: ...

    @property
    def load(self) -> LoadState: ...

    def remembered_print(self) -> ActivePrint | None: ...

    def start(self) -> None: ...

    def post(self, event: HostEvent) -> None: ...

    def terminal_line(self, line: str) -> None: ...

    def order(self, name: CommandName, initiator: str) -> None: ...

    def stop(self, seconds: float = STOP_SECONDS) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Linked:
    """What linking yields."""

    token: str
    printer_name: str | None


class Tools(Protocol):
    """How the service reaches agent_core's parts that do I/O; the tests put their own in."""

    @property
    def clock(self) -> Clock: ...

    @property
    def version(self) -> str: ...

    @property
    def data_dir(self) -> str: ...

    @property
    def layers(self) -> LayerIndexes: ...

    @property
    def diagnosis(self) -> Diagnosis: ...

    def start_over(self) -> None:
        """Forgets what waits in the database; raises OSError."""
        ...

    def report_faults(self, dsn: Secret | None) -> None:
        """Reports the plugin's own faults there from now on; None: nowhere."""
        ...

    def abort(self) -> None:
        """Ends what waits for the network."""
        ...

    def build(
        self,
        config: AgentConfig,
        on_link_change: Callable[[LinkState], None],
        on_command_result: Callable[[CommandResult], None],
    ) -> RunningAgent: ...

    def verify_code(self, server: str, code: str) -> Linked:
        """Asks the server; raises AgentError."""
        ...

    def test_camera(self, camera: CameraConfig) -> str:
        """Fetches one picture and says what came; raises AgentError."""
        ...

    def picture(self, config: AgentConfig, reason: PauseReason) -> bytes | None:
        """What the print looks like: the picture that the server decided by, else one of the primary camera, else none.
        Raises AgentError."""
        ...

    def mute_alerts(self, config: AgentConfig) -> None:
        """No more alerts in this print; raises AgentError."""
        ...
