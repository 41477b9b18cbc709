"""What the program's exit status says; `moonraker-obico --help` shows the same list."""

from __future__ import annotations

OK = 0
PROBLEM = 1
"""doctor: something is wrong; status: the agent does not run; run: it failed."""
USAGE = 2
CONFIG = 3
"""The configuration cannot be used; trying again does not help."""
RUNNING = 4
"""Another copy of the agent runs with this configuration."""
NOT_LINKED = 5
"""link: the server refused, or was not reached, or nobody linked the printer in time."""

HELP = """\
exit status:
  0  all is well (run: ended on request)
  1  doctor found something wrong; status: the agent does not run; run: it failed
  2  wrong arguments; link, unlink: it stays as it is, since nobody said yes
  3  the configuration file cannot be used
  4  another copy of the agent runs with this configuration
  5  link: the server refused the code or was not reached, or nobody linked the printer in time
"""
