"""Times in templates: in words and in UTC, which moments.js puts into the reader's own time."""

import datetime
from typing import Any

from django import template
from django.utils.dateformat import format as date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

MINUTES, SECONDS, MILLISECONDS = "", "precisely", "finely"
_WORDS = {MINUTES: "H:i", SECONDS: "H:i:s", MILLISECONDS: "H:i:s"}


@register.filter
def moment(at: datetime.datetime | None, how: str = MINUTES) -> SafeString:
    """A time as a `<time>` element, "precisely" with its seconds, "finely" with thousandths; nothing for None."""
    if at is None:
        return SafeString()
    utc = at.astimezone(datetime.UTC)
    thousandths = f".{utc.microsecond // 1000:03d}" if how == MILLISECONDS else ""
    words = date_format(utc, f"j M Y, {_WORDS[how]}") + thousandths
    made = '<time datetime="{}" data-moment="{}">{} UTC</time>'
    return format_html(made, f"{utc:%Y-%m-%dT%H:%M:%S}{thousandths}Z", how, words)


@register.filter
def contents(field: Any) -> Any:
    """What a read-only field of the admin holds, a time as a `<time>` element."""
    value = field.resolved_field[2] if field.resolved_field else None
    return moment(value, SECONDS) if isinstance(value, datetime.datetime) else field.contents()
