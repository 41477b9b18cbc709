"""`webcam_streamer` and `nozzlecam`: this agent sends pictures, not video; clients are told instead of left waiting."""

from __future__ import annotations

from typing import NoReturn

from agent_core.errors import Rejected
from agent_core.passthru import Route
from agent_core.wire.messages import PassthruCall


def no_streaming_routes() -> dict[str, Route]:
    return {
        "webcam_streamer.start": Route(_no_video),
        "webcam_streamer.shutdown": Route(lambda _: "ok"),  # nothing streams, which is what is asked for
        "nozzlecam.*": Route(_no_nozzle_camera),
    }


def _no_video(_: PassthruCall) -> NoReturn:
    raise Rejected("this agent does not stream video; it sends pictures")


def _no_nozzle_camera(_: PassthruCall) -> NoReturn:
    raise Rejected("this agent has no nozzle camera service; a nozzle camera's pictures are sent like any other's")
