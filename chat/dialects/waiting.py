"""How long a client waits for an approval, where its bodies have no place to say so: a header of ours."""

import re

from rest_framework.request import Request

from core.errors import Invalid

HEADER = "X-Countersign-Wait"
LONGEST = 600.0
_SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?", re.ASCII)


def seconds(request: Request) -> float:
    """Seconds for which an answer stays open that waits for an approval, 0 where none are told; raises Invalid."""
    told = request.headers.get(HEADER, "0").strip()
    if not _SECONDS.fullmatch(told) or float(told) > LONGEST:
        raise Invalid.field(HEADER, f"This must be a number of seconds from 0 to {LONGEST:g}.")
    return float(told)
