"""For every test: hypothesis without stop-watch, since the machine may be busy, and the same cases each time.

`HYPOTHESIS_PROFILE=explore pytest …` looks for new ones. With COMPLETE=1, as `make test` sets it, a skipped test is a
failure: what was not run proves nothing. Only what needs root may be skipped by somebody who is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """The server's program sets it for its whole process, which in a test is everybody's."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("COMPLETE"):
        return
    skipped = [
        report.nodeid
        for report in reporter.stats.get("skipped", [])
        if os.geteuid() == 0 or "netns" not in report.keywords
    ]
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"COMPLETE is set, but {len(skipped)} tests were skipped:", red=True)
        for nodeid in skipped:
            reporter.write_line(f"  {nodeid}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
