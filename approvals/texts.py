"""What is told of an event, in plain words: a heading, facts and a link, the same for every way to tell it.

What people and models wrote is in it as one line in which every character can be seen, and of which no program makes
a link. Nothing can be decided from it: the link opens a page that asks whoever is signed in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.dateparse import parse_datetime

from approvals import shown

LONGEST = 300  # characters of one value
DECIDE = "Look at it, and decide where you may"
WHERE = "See where you are signed in"
DOORS = {"page": "the sign-in page", "api": "a program, with the password", "invitation": "the link of an invitation"}
"""The ways to sign in as people call them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One event in words; `facts` are pairs of a name and a value, `about` is a sentence on what to do next."""

    heading: str
    facts: tuple[tuple[str, str], ...] = ()
    link: str = ""
    action: str = DECIDE
    about: str = ""


def of(type: str, payload: dict[str, Any], at: datetime) -> Told:
    """The words for an event that was told at this moment; raises KeyError for a type that nobody is told of.

    `together` in the payload says that several read it, `time_zone` by which clock one does.
    """
    return _WORDS[type](payload, at)


def plain(value: object) -> str:
    """A value as one line in which everything can be seen, and of which mail programs make no link."""
    return shown.plain_line(value, LONGEST).replace("://", "\u27e8://\u27e9")


def page(approval_id: object = "") -> str:
    """The address of a request's page, or of the inbox; put together without the routes, which load every view."""
    return f"{settings.PUBLIC_URL}/approvals/" + (f"{UUID(str(approval_id))}/" if approval_id else "")


def moment(text: str, payload: dict[str, Any]) -> str:
    """A time as the reader's clock has it."""
    found = parse_datetime(text)
    zone = payload.get("time_zone") or "UTC"
    return f"{found.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}" if found else ""


def ends(payload: dict[str, Any], at: datetime) -> str:
    """When a request that waits ends, and how much time was left when that was told; empty for one that is over."""
    if payload["status"] != "pending":
        return ""
    last = parse_datetime(payload["expires_at"])
    return f"{moment(payload['expires_at'], payload)}, in {shown.span(last - at)}" if last else ""


def _facts(*named: tuple[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, plain(value)) for name, value in named if value)


def _approval(heading: Callable[[dict[str, Any], str], str]) -> Callable[[dict[str, Any], datetime], Told]:
    def told(payload: dict[str, Any], at: datetime) -> Told:
        by, asked = payload.get("decided_by"), payload.get("requested_by")
        agent = payload.get("agent_name") or payload.get("agent")
        companion = payload.get("companion_name") or payload.get("companion")
        facts = _facts(
            ("What", payload.get("summary")),
            ("Tool", payload["tool"]),
            ("Risk", payload["risk"]),
            ("For", asked and asked["name"]),
            ("Agent", agent),
            ("Companion", companion if companion != agent else ""),
            ("Workspace", payload.get("workspace")),
            ("Ends", ends(payload, at)),
            ("Decided by", by and by["name"]),
            ("Reason", payload.get("reason")),
        )
        pending = payload["status"] == "pending"
        return Told(
            heading=heading(payload, plain(payload["tool"])),
            facts=facts,
            link=page(payload["approval_id"]),
            action=DECIDE if pending else "Look at it",
        )

    return told


def _requested(payload: dict[str, Any], tool: str) -> str:
    if payload.get("escalated"):
        return f"{tool} was passed on to {'others' if payload.get('together') else 'you'}"
    changed = " was changed, and" if payload.get("edited") else ""
    return f"{tool}{changed} waits for {_whose(payload)} decision"


def _ending(payload: dict[str, Any], tool: str) -> str:
    return f"{tool} ends soon, and waits for {_whose(payload)} decision"


def _whose(payload: dict[str, Any]) -> str:
    return "a" if payload.get("together") else "your"


def _decided(payload: dict[str, Any], tool: str) -> str:
    how = " by one person, in an emergency" if payload.get("break_glass") else ""
    return f"{tool} was {payload['status']}{how}"


def _unknown(payload: dict[str, Any], at: datetime) -> Told:
    about = "Look there whether it happened, and tell Countersign: until then it is neither done nor tried again."
    return Told(
        heading=f"Nobody knows whether {plain(payload['tool'])} had its effect",
        facts=_facts(
            ("What came", payload.get("summary")),
            ("Tool", payload["tool"]),
            ("Code", payload.get("code")),
            ("Workspace", payload.get("workspace")),
        ),
        link=page(payload["approval_id"]) if payload.get("approval_id") else "",
        action="Look at it",
        about=about,
    )


def _wrote(payload: dict[str, Any], at: datetime) -> Told:
    """Without what was written, which stays where it can be forgotten."""
    return Told(
        heading=f"{plain(payload['name'])} wrote to you",
        link=f"{settings.PUBLIC_URL}/",
        action="Read it",
    )


def _key(payload: dict[str, Any], at: datetime) -> Told:
    also = "change your password" if payload.get("password", True) else "end the sessions that are not yours"
    return Told(
        heading="A new API key acts for you",
        facts=_facts(
            ("Key", payload.get("name")),
            ("Kind", payload.get("kind")),
            ("Workspace", payload.get("workspace")),
            ("Made by", payload.get("by")),
            ("From", payload.get("ip")),
        ),
        link=_sessions(),
        action=WHERE,
        about=f"If you know nothing of it, have an admin of the workspace end the key, and {also}.",
    )


def _signed_in(payload: dict[str, Any], at: datetime) -> Told:
    via = payload.get("via") or ""
    if via == "oidc":
        todo = f"end that session, change your password at {settings.OIDC_NAME}, and tell an admin"
    elif payload.get("password", True):
        todo = "change your password now: every session ends with it"
    else:
        todo = "end that session, and tell an admin"
    doors = {**DOORS, "oidc": settings.OIDC_NAME}
    return Told(
        heading="Somebody signed in as you from a new network",
        facts=_facts(
            ("From", payload.get("ip")), ("When", moment(at.isoformat(), payload)), ("By", doors.get(via, via))
        ),
        link=_sessions(),
        action=WHERE,
        about=f"If that was not you, {todo}.",
    )


def _sessions() -> str:
    return f"{settings.PUBLIC_URL}/account/sessions/"


def _switched_off(payload: dict[str, Any], at: datetime) -> Told:
    return Told(
        heading=f"{plain(payload['name'])} was switched off",
        facts=_facts(
            ("Why", payload.get("reason")), ("Address", payload.get("address")), ("Workspace", payload.get("workspace"))
        ),
        about="Nothing is told there any more. Fix it, and switch it on again.",
    )


def _test(payload: dict[str, Any], at: datetime) -> Told:
    return Told(
        heading="This is a test",
        facts=_facts(("Channel", payload.get("name")), ("Sent by", payload.get("by"))),
        link=page(),
        action="Open the inbox",
        about="The workspace's requests are told here from now on.",
    )


_WORDS: dict[str, Callable[[dict[str, Any], datetime], Told]] = {
    "approval.requested": _approval(_requested),
    "approval.ending": _approval(_ending),
    "approval.decided": _approval(_decided),
    "approval.expired": _approval(lambda payload, tool: f"{tool} expired: nobody decided in time"),
    "action.unknown": _unknown,
    "agent.wrote": _wrote,
    "key.created": _key,
    "login.new_place": _signed_in,
    "channel.disabled": _switched_off,
    "channel.test": _test,
}
