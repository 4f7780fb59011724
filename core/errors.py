"""What can go wrong: one exception with a code and an HTTP status; its kinds live beside their services."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, a dotted path such as `attachments.0.url`; empty: the whole body."""

    field: str
    code: str
    message: str


class DomainError(Exception):
    """A refusal that the caller may read: rendered as a problem by every door, never logged as a fault."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused"
    default_detail: ClassVar[str] = ""
    default_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or self.default_detail or f"{self.title}."
        self.errors = list(errors)
        self.extra = dict(extra or {})
        self.headers = {**self.default_headers, **(headers or {})}
        super().__init__(self.detail)


class Invalid(DomainError):
    """What was sent does not fit."""

    code = "invalid"
    status = 400
    title = "The request is not valid"

    @classmethod
    def field(cls, field: str, message: str, code: str = "invalid") -> "Invalid":
        """The refusal of one field."""
        return cls(f"{field}: {message}", errors=[FieldError(field, code, message)])


class Unauthorized(DomainError):
    """No credential, or one that does not hold."""

    code = "unauthorized"
    status = 401
    title = "Authentication is needed"
    default_detail = "Send a valid key or token as `Authorization: Bearer <token>`."
    default_headers = {"WWW-Authenticate": "Bearer"}


class Forbidden(DomainError):
    """A valid credential without the right to do this."""

    code = "forbidden"
    status = 403
    title = "This is not permitted"


class NotFound(DomainError):
    """There is no such thing for this caller."""

    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(DomainError):
    """It cannot be done in the state that things are in."""

    code = "conflict"
    status = 409
    title = "The request conflicts with the current state"


class TooLarge(DomainError):
    """The body is over its limit."""

    code = "too_large"
    status = 413
    title = "The body is too large"


class RateLimited(DomainError):
    """Too many requests; `headers` say when to come back."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"


class Unavailable(DomainError):
    """Something that the answer needs does not answer now."""

    code = "unavailable"
    status = 503
    title = "Not available now"
