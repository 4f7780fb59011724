"""A person in a browser at the inbox outside the admin."""

import html
import re
from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import Actor
from approvals.models import Approval
from tests.approvals.desk import Desk, request

INBOX, TOGETHER, WAITING = "/approvals/", "/approvals/together/", "/approvals/waiting/"
HTML = {"Accept": "text/html"}
Site = Callable[[Actor], Client]


def page_of(approval: Approval, name: str = "") -> str:
    return f"{INBOX}{approval.pk}/{name and name + '/'}"


def post(client: Client, approval: Approval, decision: str = "approve", to: str = "", **more: Any) -> HttpResponse:
    return client.post(page_of(approval, to), {"decision": decision, "digest": approval.digest, **more})


def plain(text: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def listed(client: Client, show: str = "") -> list[str]:
    """The services of the requests in a list, in its order."""
    return re.findall(r"<bdi>Restart (\w+)\.</bdi></a>", client.get(INBOX, {"show": show}).text)


def ask(desk: Desk, member: Actor | None, service: str, risk: str = "write", **changes: Any) -> Approval:
    return request(desk, member, call={"risk": risk, "arguments": {"service": service}}, **changes)
