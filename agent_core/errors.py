"""Every error of the agents, grouped by what the caller should do.

AgentError
├── Retryable            waiting can help
│   ├── Unreachable      no connection: DNS, refused, timed out, reset
│   └── ServerTrouble    the peer answered, but with 5xx, 429 or nonsense
├── NeedsPerson          waiting does not help; the text says what to do
│   ├── AuthRefused      token or key unknown, revoked, archived
│   ├── TlsRefused       the certificate fails
│   ├── WrongPeer        something answers there, but not what we look for (an HTML page, 404)
│   └── ConfigInvalid    a setting is wrong; names file, section, key
├── Rejected             a command that must not be carried out now; nothing was done
├── CommandFailed        a command was begun and did not end well; the printer's own words
│   └── StartUnclear     a print was to begin, and the printer does not show it; it may begin yet
└── CameraFault          no picture; why

Texts are one readable line without secrets.
"""

from __future__ import annotations


class AgentError(Exception):
    """The root; its text is for a person."""


class Retryable(AgentError):
    """Waiting can help."""


class Unreachable(Retryable):
    """No connection to the peer."""


class ServerTrouble(Retryable):
    """The peer answered, but could not serve; `retry_after` in seconds if it said so."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NeedsPerson(AgentError):
    """Only a person can help; the text says how."""


class AuthRefused(NeedsPerson):
    """The token is not accepted."""


class TlsRefused(NeedsPerson):
    """The server's certificate does not hold."""


class WrongPeer(NeedsPerson):
    """Something else answers at that address."""


class ConfigInvalid(NeedsPerson):
    """A setting cannot be used."""


class Rejected(AgentError):
    """The command must not be carried out now; the printer was not touched."""


class CommandFailed(AgentError):
    """The command was begun and failed, in the printer's own words."""


class StartUnclear(CommandFailed):
    """A print was to begin and does not show; that it will not cannot be said."""


class CameraFault(AgentError):
    """No usable picture."""
