"""`doctor`: checks everything that an agent needs, each within its time, and says of each failure what to do.

Findings are data; the hosts print them or show them on a page. Nothing in a finding is secret.
"""

from __future__ import annotations

from agent_core.features.doctor.model import Check, Finding, Level, run

__all__ = ["Check", "Finding", "Level", "run"]
