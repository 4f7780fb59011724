"""Which pages of other origins browsers let call us: those that keys name, on the paths that pages call.

A browser asks before it calls, and shows no key then: an origin may call if any key names it. Whether the key that it
brings then is one of these, the call itself is refused or not by.
"""

import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts.services import keys


def may_call(request: HttpRequest, **_: Any) -> bool:
    """Whether a page of the request's origin may read the answer; asked of every request, for every path."""
    origin = request.headers.get("Origin")
    if not origin or not re.match(settings.CORS_URLS_REGEX, request.path_info):
        return False
    return keys.named_by_any(origin)
