"""Takes secrets out of text that leaves the machine or lands in a log: tokens, passwords, keys, mail addresses.

Two ways at once. What we know to be secret (our token, the cameras' passwords) goes wherever it stands, in whatever
form. What looks like a secret goes too: for a support bundle a word too many is better than one too few. Private
addresses (192.168.…) stay, since they tell where a fault lies; public ones go where `addresses` asks for it.

One pass over a text takes time in proportion to its length; no pattern can run away.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from agent_core.config import AgentConfig

MASK = "***"

_SHORTEST = 4
"""Known secrets shorter than this would blot out half of any text; they are left to the patterns."""

_KNOWN_LIMIT = 100
_DEPTH_LIMIT = 30

# The names under which people and programs keep secrets, as a part of a key (`smtp_password`, `X-Api-Key`).
_NAMES = (
    r"(?:pass(?:word|wd|phrase|code|link)|passwort|kennwort|pwd|psk|secret|token|api[ _-]?key|auth[_-]?key|"
    r"access[_-]?key|private[_-]?key|encryption[_-]?key|user[_-]?key|app[_-]?key|credential|session[_-]?id|sessionid|"
    r"cookie|webhook|csrf|authorization|sentry[_-]?dsn|(?<![a-z])(?:pass|dsn|otp)(?![a-z]))"
)
_KEY = rf"[\w.-]{{0,60}}?{_NAMES}[\w.-]{{0,60}}"
_QUERY = r"(?:[\w.-]{0,40}(?:token|key|sig|signature|secret|credential|auth|pass\w{0,10}|pwd|session\w{0,10})|sid|code)"
_QUOTED = r"\\*\"(?:[^\"\\\r\n]|\\(?!\")[^\r\n]|\\\"(?=[^,:}\]\s]))*\\*\"|\\*'(?:[^'\\\r\n]|\\.)*'"

# Hosts whose every path is a secret, and the addresses of apprise and its kin, which hold one each.
_HOSTS = (
    r"(?:discord(?:app)?\.com|hooks\.slack\.com|outlook\.office\.com|[\w-]{1,60}\.webhook\.office\.com|"
    r"maker\.ifttt\.com|hooks\.zapier\.com|api\.telegram\.org|[\w-]{1,60}\.logic\.azure\.com)"
)
_SCHEMES = (
    r"(?:tgram|discord|slack|msteams|pover|pbul|gotifys?|ntfys?|mailtos?|ifttt|join|matrixs?|mmosts?|hassios?|prowl|"
    r"signals?|twilio|workflows|apprises?|jsons?)"
)
_PRIVATE = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
    r"(?:(?:(?!-----)[\s\S])*-----END [A-Z0-9 ]{0,40}-----|(?:(?:\s|\\n)*[A-Za-z0-9+/=]{16,})*)"
)
# A setting of a whole line (ini, yaml, env), with what is continued below it further to the right.
_LINE = (
    rf"(?m)^(?P<in>[ \t]*)(?P<key>(?:[-#;]\s{{0,3}}|export\s|set\s)?[\"']?{_KEY}[\"']?[ \t]{{0,8}}[:=])"
    r"(?![ \t]*[\[{])[^\r\n]*(?:\r?\n(?P=in)(?:[#;][ \t]{2,}|[ \t]+)[^\r\n]*)*"
)
# The same within a line, and in JSON however often it was quoted; but not prose (`wants an API key: put it into …`).
_WITHIN = (
    rf"(?<![\w.-])({_KEY}\\*[\"']?[ \t]{{0,4}}(?::|=>?)[ \t]{{0,4}})"
    rf"(?:{_QUOTED}|[|>]?[+-]?[ \t]{{0,4}}(?:\r?\n[ \t]+[^\r\n]*)+|"
    r"(?!null\b|true\b|false\b|None\b|\*\*\*|(?<=: )(?-i:[a-z]{1,12} [`a-z]))[^\s\"',;&\]})]+)"
)

_NAMED = (
    "pass", "kennwort", "pwd", "psk", "secret", "token", "key", "credential", "session", "cookie", "webhook", "csrf",
    "authorization", "dsn", "otp",
)  # fmt: skip

_I = re.IGNORECASE

_PATTERNS: tuple[tuple[tuple[str, ...], str, str, int], ...] = (
    # (a text without any of these words in small letters is not searched, pattern, replacement, flags)
    # A private key; of one that was cut off, its lines, or all up to its end.
    (("private key",), _PRIVATE, MASK, _I),
    (("-----end",), r"\A(?:(?!-----BEGIN)[\s\S])*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----", MASK, _I),
    (("age-secret",), r"AGE-SECRET-KEY-1[A-Z0-9]+", MASK, _I),
    # user:password@ of any URL; a password may hold an @ or a slash of its own.
    (("@",), r"([a-z][a-z0-9+.-]{1,20}:(?:\\?/){2})[^\s\"'<>]*@", rf"\1{MASK}@", _I),
    # Addresses that are secrets as a whole.
    ((".com", ".org"), rf"({_HOSTS}\\?/)[^\s\"'<>]+", rf"\1{MASK}", _I),
    (("hook",), r"(/(?:web)?hooks?\\?/)[^\s\"'<>?]+", rf"\1{MASK}", _I),
    (("://",), rf"\b({_SCHEMES}://)[^\s\"'<>]+", rf"\1{MASK}", _I),
    ((":",), r"\b\d{6,12}:[A-Za-z0-9_-]{30,}", MASK, 0),  # Telegram's bots
    # Headers: to the end of the line, or of the quoted text that they stand in.
    (("authorization",),
     rf"((?:proxy-)?authorization\\*[\"']?\s{{0,3}}[:=]\s{{0,3}})(?:{_QUOTED}|[^\r\n]+)", rf"\1{MASK}", _I),
    (("cookie",), rf"((?:set-)?cookie\\*[\"']?\s{{0,3}}[:=]\s{{0,3}})(?:{_QUOTED}|[^\r\n]+)", rf"\1{MASK}", _I),
    (("basic", "bearer"), r"\b((?:Basic|Bearer)\s{1,3})[A-Za-z0-9+/=._~-]{6,}", rf"\1{MASK}", 0),
    (("basic", "bearer", "token", "digest"),
     r"\b((?:basic|bearer|token|Token|Digest)\s{1,3})(?=[^\s\"']{0,200}[\d=])[A-Za-z0-9+/=._~-]{8,}", rf"\1{MASK}", 0),
    (("eyj",), r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{3,}(?:\.[A-Za-z0-9_-]*)*", MASK, 0),  # JSON web tokens
    (_NAMED, _LINE, rf"\g<in>\g<key> {MASK}", _I),
    (("psk", "phrase"), r"((?:psk|passphrase)\\*[\"']?[ \t]{0,4}[:=])[^\r\n]+", rf"\1{MASK}", _I),  # words of them
    (_NAMED, _WITHIN, rf"\1{MASK}", _I),
    (("<",), rf"(<({_KEY})>)[^<]*", rf"\1{MASK}", _I),
    ((" -",), rf"( --?{_KEY}[ =])\S+", rf"\1{MASK}", _I),
    ((" -u", "--user"), r"(\s(?:-u|--user)[ =])\S+", rf"\1{MASK}", 0),
    (("login",), r"(\blogin\s{1,3})\S+(\s{1,3}password\s{1,3})\S+", rf"\1{MASK}\2{MASK}", _I),  # netrc
    (("=", "%3d"), rf"((?:[?&;]|%3F|%26){_QUERY}(?:=|%3D))[^&\s\"'#<>]+", rf"\1{MASK}", _I),
    # Forms that only keys have.
    (("sk", "pk", "rk"), r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}", MASK, 0),
    (("xox",), r"\bxox[a-z]-[A-Za-z0-9-]{8,}", MASK, 0),
    (("gh", "glpat", "npm_", "pypi-", "hf_", "dop_"),
     r"\b(?:gh[pousr]_|github_pat_|glpat-|npm_|pypi-|hf_|dop_v1_)[A-Za-z0-9_-]{16,}", MASK, 0),
    (("akia", "asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", MASK, 0),
    (("aiza",), r"\bAIza[0-9A-Za-z_-]{30,}", MASK, 0),
    (("sg.",), r"\bSG\.[\w-]{16,}\.[\w-]{16,}", MASK, 0),
    (("$",), r"\$(?:2[aby]|1|5|6|y|apr1|argon2\w{0,3}|pbkdf2[\w-]{0,10})\$[^\s\"',;]+", MASK, 0),  # hashed passwords
    (("@",), r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+", MASK, 0),  # mail
    ((), r"(?<![0-9A-Za-z])[0-9a-fA-F]{20,}(?![0-9A-Za-z])", MASK, 0),  # tokens of Obico, OctoPrint, Moonraker
    ((":",), r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])", MASK, 0),  # network cards
)  # fmt: skip

_LONG = re.compile(r"(?<![\w-])[A-Za-z0-9_-]{32,}={0,2}(?![\w-])")
_V4 = r"(?<![\d.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)"
_V6 = r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:{1,2}){2,7}(?:[0-9A-Fa-f]{1,4})?(?![\w:])"


class Scrubber:
    """Thread-safe. `known`: texts that are secret here, whatever they look like; `addresses`: public IP addresses go
    as well.
    """

    def __init__(self, known: Iterable[str] = (), *, addresses: bool = False) -> None:
        self._addresses = addresses
        self._forms: tuple[str, ...] = ()
        self._known: tuple[str, ...] = ()
        self.learn(*known)

    def learn(self, *secrets: str) -> None:
        """More that is secret here; the oldest of more than a hundred is forgotten."""
        kept = [*self._known, *(secret for secret in secrets if len(secret) >= _SHORTEST and secret not in self._known)]
        self._known = tuple(kept[-_KNOWN_LIMIT:])
        forms = {form for secret in self._known for form in _forms(secret)}
        # The longest first: one secret may be a part of another.
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    @property
    def known(self) -> tuple[str, ...]:
        """Secrets themselves: for another scrubber only."""
        return self._known

    def text(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        small = text.lower()
        for index, (words, _, mask, _) in enumerate(_PATTERNS):
            if not words or any(word in small for word in words):
                text = _compiled(index).sub(mask, text)
        text = _LONG.sub(_judged, text)
        if self._addresses:
            text = re.sub(_V6, _v6, re.sub(_V4, _v4, text))
        return text

    def value(self, value: Any, depth: int = _DEPTH_LIMIT) -> Any:
        """The same for anything that JSON knows: under a secret's name nothing is left, whatever it is."""
        if isinstance(value, str):
            return self.text(value)
        if depth <= 0:
            return MASK
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._under(str(key), entry, depth) for key, entry in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(entry, depth - 1) for entry in value]
        return value if isinstance(value, int | float) or value is None else self.text(str(value))

    def _under(self, key: str, entry: Any, depth: int) -> Any:
        if re.search(_NAMES, key, re.IGNORECASE) and entry is not None and not isinstance(entry, bool) and entry != "":
            return MASK
        return self.value(entry, depth - 1)


class ScrubFilter(logging.Filter):
    """For a handler: each record goes on as plain text without secrets, its traceback too."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self._scrubber = scrubber

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            said = record.getMessage()
        except (TypeError, ValueError):  # a mistake in the call; the line is worth more than the mistake
            said = str(record.msg)
        record.msg, record.args = self._scrubber.text(said), None
        if record.exc_info and record.exc_info[0] is not None:
            lines = traceback.format_exception(*record.exc_info)
            record.exc_text = self._scrubber.text("".join(lines).rstrip())
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = self._scrubber.text(record.exc_text)
        return True


def secrets_in(config: AgentConfig) -> list[str]:
    """What an agent's configuration holds of secrets."""
    token = [] if config.token is None else [config.token.reveal()]
    urls = [url for camera in config.cameras for url in (camera.snapshot_url, camera.stream_url)]
    return [*token, *(secret for url in urls for secret in secrets_of(url))]


def secrets_of(url: str | None) -> list[str]:
    """What must be learnt of an address: the password in it, and the values of a query that look like one."""
    try:
        parts = urlsplit(url or "")
        query = parse_qsl(parts.query)
    except ValueError:
        return []
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    return [
        text
        for text in (
            password,
            unquote(password),
            *(value for name, value in query if re.fullmatch(_QUERY, name, re.IGNORECASE)),
        )
        if text
    ]


@functools.cache  # as many as there are patterns
def _compiled(index: int) -> re.Pattern[str]:
    """Made when it is first needed: all of them take a megabyte, and most logs need few."""
    _, pattern, _, flags = _PATTERNS[index]
    return re.compile(pattern, flags)


def _forms(secret: str) -> list[str]:
    """How a secret may be written: as it is, in a URL, in JSON, in base64."""
    raw = secret.encode("utf-8", "replace")
    forms = [secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]]
    if len(raw) >= 6:
        forms += [base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")]
    return [form for form in forms if len(form) >= _SHORTEST]


def _judged(found: re.Match[str]) -> str:
    """A long word of capitals, small letters and figures is a key; one with many joints is a name."""
    word = found[0]
    kinds = (any(c.isupper() for c in word), any(c.islower() for c in word), any(c.isdigit() for c in word))
    joints = word.count("_") + word.count("-")
    return MASK if all(kinds) and joints * 8 <= len(word) else word


def _v4(found: re.Match[str]) -> str:
    parts = [int(part) for part in found.groups()]
    if any(part > 255 for part in parts):
        return found[0]
    first, second = parts[0], parts[1]
    home = (
        first in {0, 10, 127, 255} or first >= 224 or (first, second) in {(192, 168), (169, 254)}
        or (first == 172 and 16 <= second <= 31) or (first == 100 and 64 <= second <= 127)
    )  # fmt: skip
    return found[0] if home else MASK


def _v6(found: re.Match[str]) -> str:
    word = found[0]
    if "::" not in word and word.count(":") != 7:
        return word  # a time of day, a list of numbers
    return word if word.lower().startswith(("fe8", "fe9", "fea", "feb", "fc", "fd", "::")) else MASK
