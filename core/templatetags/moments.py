"""Times in templates: in words, which page.js puts into the reader's own time."""

import datetime

from django import template
from django.utils.dateformat import format as date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def moment(at: datetime.datetime | None, precisely: str = "") -> SafeString:
    """A time as a `<time>` element, `precisely` with its seconds; nothing for None."""
    if at is None:
        return SafeString()
    utc = at.astimezone(datetime.UTC)
    words = date_format(utc, "j M Y, H:i:s" if precisely else "j M Y, H:i")
    made = '<time datetime="{}" data-moment="{}">{} UTC</time>'
    return format_html(made, f"{utc:%Y-%m-%dT%H:%M:%SZ}", precisely, words)
