"""What a service can refuse, grouped by what the caller should do. Web code maps each class to a status once.

ServiceError
├── NotFound          there is none, or it is somebody else's: the caller must not learn which
├── Invalid           the input is at fault; `errors` names the fields
├── Unauthenticated   no or wrong credentials
├── Forbidden         known, but not allowed
├── Conflict          the state forbids it
├── Throttled         too many tries; `retry_after` seconds
└── StoreFailed       the database did not do it: nothing was changed, trying again may help
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class ServiceError(Exception):
    """Base of everything a service raises on purpose; the text is for the person who reads the answer."""


class NotFound(ServiceError):
    def __init__(self, message: str = "Not found.") -> None:
        super().__init__(message)


class Invalid(ServiceError):
    def __init__(self, message: str, errors: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(message)
        self.errors = {field: list(texts) for field, texts in (errors or {}).items()}

    @classmethod
    def field(cls, name: str, message: str) -> Invalid:
        return cls(f"{name}: {message}", {name: [message]})


class Unauthenticated(ServiceError):
    pass


class Forbidden(ServiceError):
    pass


class Conflict(ServiceError):
    pass


class Throttled(ServiceError):
    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many tries. Wait a little and try again.")
        self.retry_after = max(1, round(retry_after))


class StoreFailed(ServiceError):
    pass
