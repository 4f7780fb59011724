"""Filters for templates that show what a model wrote: see approvals/shown.py."""

import datetime
import re
from contextlib import suppress
from typing import Any

from django import template
from django.utils.safestring import SafeString

from accounts.models import User
from approvals import shown
from approvals.models import Decision
from approvals.services import endings
from core.templatetags.moments import moment

register = template.Library()
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


@register.filter
def visible(text: object) -> SafeString:
    """A text of several lines, every character of it visible."""
    return shown.visible(text)


@register.filter
def called(user: User | None) -> SafeString:
    """What a person is called, by name or else by address."""
    return shown.visible_line(endings.called(user))


@register.filter
def person(user: User | None) -> SafeString:
    """A person by name, with the address that tells them from others of that name."""
    return shown.visible_line(endings.told_apart(user))


@register.filter
def past(decision: str) -> str:
    """What somebody did who said so: `approved` for `approve`."""
    return {Decision.APPROVE: "approved", Decision.REJECT: "rejected"}.get(Decision(decision), "answered")


@register.filter
def visible_line(text: object) -> SafeString:
    """A text of one line, every character of it visible."""
    return shown.visible_line(text)


@register.filter
def visible_detail(text: object) -> SafeString:
    """As `visible`, and a time that is written for machines (ISO 8601, with its zone) as a time for people."""
    if _MOMENT.fullmatch(str(text)):
        with suppress(ValueError, OverflowError):
            return moment(datetime.datetime.fromisoformat(str(text)), "precisely")
    return shown.visible(text)


@register.filter
def as_json(value: Any) -> SafeString:
    """A value as canonical JSON, indented."""
    return shown.json_html(value)


@register.filter
def span(length: datetime.timedelta | None) -> str:
    """A length of time as a person would say it."""
    return shown.span(length)


@register.filter
def seconds(length: datetime.timedelta | None) -> int:
    """A length of time in whole seconds, for a script to count on."""
    return int(length.total_seconds()) if length is not None else 0


@register.filter
def unseen(value: Any) -> int:
    """How many characters of a JSON value cannot be seen by themselves."""
    return shown.unseen(value)


@register.filter
def long_texts(value: Any) -> list[shown.LongText]:
    """The texts of a JSON value that are easier read by themselves."""
    return list(shown.long_texts(value))


@register.filter
def pairs(value: dict[str, Any]) -> list[tuple[str, Any]]:
    """A dictionary's entries; its own keys cannot get in the way, as they would after a dot."""
    return list(value.items())
