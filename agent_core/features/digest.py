"""HTTP credentials for cameras: Basic (RFC 7617) and Digest (RFC 7616). Pure.

Written here rather than taken from `requests`, which costs 5 MB of memory and has it only bound to its own requests.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass, field

_SCHEME = re.compile(r"(?:^|,)\s*(basic|digest)(?=\s|,|$)", re.IGNORECASE)
_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a `WWW-Authenticate` header asks for; `parameters` with names in lower case, empty for Basic."""

    digest: bool
    parameters: dict[str, str]


def challenge(header: str) -> Challenge | None:
    """The best of what is offered that we can answer: Digest before Basic, which shows the password to the network."""
    found = list(_SCHEME.finditer(header))
    basic: Challenge | None = None
    for index, match in enumerate(found):
        if match[1].lower() == "basic":
            basic = Challenge(False, {})
            continue
        end = found[index + 1].start() if index + 1 < len(found) else len(header)
        parameters = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare
            for name, quoted, bare in _PARAMETER.findall(header[match.end() : end])
        }
        if "nonce" in parameters and _hash_name(parameters) and _quality(parameters) is not None:
            return Challenge(True, parameters)
    return basic


def _hash_name(parameters: dict[str, str]) -> str | None:
    name = _HASHES.get(parameters.get("algorithm", "MD5").lower().removesuffix("-sess"))
    return name if name in hashlib.algorithms_available else None


def _quality(parameters: dict[str, str]) -> str | None:
    """`auth`, "" for a challenge after the older RFC 2069, None for one that only knows auth-int."""
    if "qop" not in parameters:
        return ""
    return "auth" if "auth" in re.split(r"[\s,]+", parameters["qop"].lower()) else None


def authorization(asked: Challenge, who: Credentials, method: str, uri: str, cnonce: str, count: int = 1) -> str:
    """The `Authorization` header. `uri`: path with query as in the request line; `count`: how often the nonce has been
    used, this time included.
    """
    if not asked.digest:
        return "Basic " + b64encode(f"{who.user}:{who.password}".encode()).decode()
    said = asked.parameters
    realm, nonce = said.get("realm", ""), said["nonce"]
    algorithm = said.get("algorithm", "MD5")
    secret = _hashed(said, f"{who.user}:{realm}:{who.password}")
    if algorithm.lower().endswith("-sess"):
        secret = _hashed(said, f"{secret}:{nonce}:{cnonce}")
    request = _hashed(said, f"{method}:{uri}")
    answer = {"username": who.user, "realm": realm, "nonce": nonce, "uri": uri}
    bare = {}
    if quality := _quality(said):
        bare = {"qop": quality, "nc": f"{count:08x}"}
        answer["cnonce"] = cnonce
        answer["response"] = _hashed(said, f"{secret}:{nonce}:{count:08x}:{cnonce}:{quality}:{request}")
    else:
        answer["response"] = _hashed(said, f"{secret}:{nonce}:{request}")
    if "algorithm" in said:
        bare["algorithm"] = algorithm
    if "opaque" in said:
        answer["opaque"] = said["opaque"]
    quoted = [f'{name}="{_quoted(value)}"' for name, value in answer.items()]
    return "Digest " + ", ".join(quoted + [f"{name}={value}" for name, value in bare.items()])


def _hashed(said: dict[str, str], text: str) -> str:
    return hashlib.new(_hash_name(said) or "md5", text.encode(), usedforsecurity=False).hexdigest()


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
