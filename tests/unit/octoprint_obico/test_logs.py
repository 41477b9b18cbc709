"""Our lines in OctoPrint's log."""

from __future__ import annotations

import logging

import pytest

from octoprint_obico.logs import NAMES, ScrubbedLogs
from tests.fakes.secrets import CAMERA_PASSWORD, PLANTED


def test_our_lines_reach_octoprints_log_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logs = ScrubbedLogs()
    logs.begin()
    logs.begin()
    logs.scrubber.learn(CAMERA_PASSWORD, *(planted.secret for planted in PLANTED if "agent" in planted.kind))
    try:
        for planted in PLANTED:
            for name in NAMES:
                logging.getLogger(f"{name}.part").warning("it said: %s", planted.text)
        logging.getLogger("octoprint.plugins.other").warning("password: theirs")
    finally:
        logs.end()
    assert len(caplog.records) == len(PLANTED) * len(NAMES) + 1
    said = [record.getMessage() for record in caplog.records]
    for planted in PLANTED:
        assert not any(planted.secret in line for line in said), planted.kind
    assert said[-1] == "password: theirs"
    logging.getLogger("agent_core.part").warning("afterwards")
    assert caplog.records[-1].getMessage() == "afterwards"
