"""Public ids: a prefix and 12 characters of base 32, 60 random bits. Nobody can guess one from another."""

from __future__ import annotations

import base64
import re

from reference_server.services.secrets import RandomBytes

PRINTER, JOB, MATERIAL, WEBHOOK, ORGANIZATION = "prt", "job", "mat", "whk", "org"
USER, KEY, GROUP, FILE, EVENT, ATTEMPT, DELIVERY = "usr", "key", "grp", "fil", "evt", "att", "dlv"
INVITATION = "inv"

_FORM = re.compile(r"([a-z]{3})_[a-z2-7]{12}")


def new_id(prefix: str, random: RandomBytes) -> str:
    return f"{prefix}_{base64.b32encode(random(8)).decode('ascii')[:12].lower()}"


def is_id(prefix: str, text: object) -> bool:
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    return found is not None and found[1] == prefix
