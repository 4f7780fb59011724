"""What is kept of a person, to take along: a zip of JSON files, written as it is read.

What is theirs: account, memberships, conversations with their images, memories, what was done on their behalf, what
they asked others to approve and what they decided, their keys by name, what models used for them, and what hangs on
the account (`belongings`). README.txt says what is where, and what is left out.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from io import RawIOBase
from itertools import chain
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import Actor, ApiKey, Membership, UsageEntry, User
from approvals.models import Approval, Vote
from approvals.services import audit
from chat.models import Action, Attachment, Conversation, Message
from chat.services import attachments, belongings
from core.ledger import Who
from memory.services import portability

Part = tuple[str, Iterable[bytes]]
PAGE = 500
ABOUT = """What Countersign keeps of you.

account.json                      your account, where you are a member, how you sign in: sessions, second factors
<workspace>/conversations/*.json  what you and your companions said, oldest first
<workspace>/images/               the images of your messages
<workspace>/memories.jsonl        what is remembered of you, one memory a line
<workspace>/actions.jsonl         what tools did on your behalf
<workspace>/approvals.jsonl       what was asked of others for you
<workspace>/decisions.jsonl       what you decided of others' requests
<workspace>/usage.jsonl           what models used for you
<workspace>/keys.jsonl            your API keys, by name: their secrets are not kept
<workspace>/provider_keys.jsonl   your own keys for model providers, by name
<workspace>/folders.jsonl         your folders
<workspace>/notifications.jsonl   what you want to be told, when and how
<workspace>/budgets.jsonl         what you may use
<workspace>/audit.jsonl           what the audit log says that you did, or was done for you, and when

Not in it: passwords, keys and other secrets; what the audit log tells of each event, where it is not in the files
above; the admin site's own journal; answers that are kept for some hours, for requests that are sent twice; hashes of
what you had forgotten.
"""
_ACCOUNT = ("id", "email", "name", "is_active", "is_staff", "is_superuser", "created_at", "last_login")
_MESSAGE = ("id", "role", "content", "parts", "model", "provider", "usage", "metadata", "created_at")
_ACTION = (
    "id", "conversation_id", "tool", "risk", "arguments", "state", "code", "summary", "result", "created_at",
    "ended_at",
)  # fmt: skip
_APPROVAL = (
    "id", "tool", "risk", "agent", "companion", "arguments", "status", "decision", "reason", "response", "created_at",
    "decided_at",
)  # fmt: skip
_VOTE = ("approval_id", "decision", "reason", "created_at")
_USAGE = ("run_id", "session_id", "provider", "model", "input_tokens", "output_tokens", "cost_usd", "created_at")
_KEY = (
    "name",
    "kind",
    "mode",
    "public_id",
    "scopes",
    "origins",
    "created_at",
    "last_used_at",
    "expires_at",
    "revoked_at",
)


def export(user: User, memberships: Iterable[Membership], *, who: Who) -> Iterator[bytes]:
    """The zip, some at a time; each workspace's log is told that `who` took it."""
    return zipped(chain([_about(), _account(user)], *(_workspace(user, one, who) for one in memberships)))


def zipped(parts: Iterable[Part]) -> Iterator[bytes]:
    """A zip of these files, each read when its turn comes, none of it held."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        for name, chunks in parts:
            with file.open(name, "w", force_zip64=True) as out:
                for chunk in chunks:
                    out.write(chunk)
                    yield sink.taken()
    yield sink.taken()


class _Sink(RawIOBase):
    """A file that is written to at its end alone, and emptied as it is."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Hold it until it is taken."""
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What came since the last time."""
        found, self._pieces = b"".join(self._pieces), []
        return found


def _about() -> Part:
    return "README.txt", [ABOUT.encode()]


def _account(user: User) -> Part:
    of = Membership.objects.filter(user=user).order_by("created_at")
    told = {name: getattr(user, name) for name in _ACCOUNT}
    told["memberships"] = list(of.values("workspace_id", "workspace__name", "role", "preferred_model", "created_at"))
    return "account.json", [_json(told | belongings.of_account(user), indent=1)]


def _workspace(user: User, membership: Membership, who: Who) -> Iterator[Part]:
    """What one workspace keeps of the person."""
    workspace = membership.workspace
    with transaction.atomic():
        target = ("person", user.pk)
        audit.record(audit.Entry(type="person.exported", workspace_id=workspace.pk, who=who, target=target))
    actor, place = Actor(user, workspace, membership), workspace.slug
    for talk in _paged(Conversation.objects.visible_to(actor).select_related("companion", "agent", "team")):
        yield f"{place}/conversations/{talk.pk}.json", _conversation(talk)
        for image in Attachment.objects.filter(conversation=talk).order_by("pk"):
            if data := attachments.contents(image.file):
                yield f"{place}/images/{image.file.rpartition('/')[2]}", [data]
    yield f"{place}/memories.jsonl", _encoded(portability.as_lines(portability.export(actor, who=who)))
    mine = {"workspace": workspace, "user": user}
    yield f"{place}/actions.jsonl", _lines(Action.objects.filter(workspace=workspace, person=user), _ACTION)
    yield f"{place}/approvals.jsonl", _lines(Approval.objects.filter(workspace=workspace, requested_by=user), _APPROVAL)
    yield f"{place}/decisions.jsonl", _lines(Vote.objects.filter(approval__workspace=workspace, user=user), _VOTE)
    yield f"{place}/usage.jsonl", _lines(UsageEntry.objects.filter(**mine), _USAGE)
    yield f"{place}/keys.jsonl", _lines(ApiKey.objects.filter(**mine), _KEY)
    for name, (rows, columns) in belongings.of_workspace(membership).items():
        yield f"{place}/{name}.jsonl", _lines(rows, columns)


def _conversation(talk: Conversation) -> Iterator[bytes]:
    """A conversation with its messages, in pages."""
    with_whom = talk.companion or talk.agent or talk.team
    told = {name: getattr(talk, name) for name in ("id", "title", "channel", "archived", "created_at", "updated_at")}
    yield _json({**told, "with": str(with_whom)})[:-1] + b', "messages": ['
    for number, message in enumerate(_said(talk)):
        yield (b",\n" if number else b"\n") + _json(_columns(message, _MESSAGE))
    yield b"\n]}\n"


def _said(talk: Conversation) -> Iterator[Message]:
    """Its messages turn by turn, a page at a time."""
    said = Message.objects.filter(conversation=talk).order_by("turn_at", "created_at")
    ids = list(said.values_list("pk", flat=True))
    for start in range(0, len(ids), PAGE):
        yield from said.filter(pk__in=ids[start : start + PAGE]).only(*_MESSAGE)


def _lines(rows: QuerySet[Any], fields: tuple[str, ...]) -> Iterator[bytes]:
    """These columns of the rows, one JSON object a line, the oldest first."""
    for row in _paged(rows.only(*fields)):
        yield _json(_columns(row, fields)) + b"\n"


def _paged(rows: QuerySet[Any]) -> Iterator[Any]:
    """The rows, the oldest first, a page at a time: a cursor would be of one thread, and whichever is free goes on."""
    rows = rows.order_by("pk")
    page = list(rows[:PAGE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []


def _columns(row: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in fields}


def _encoded(lines: Iterable[str]) -> Iterator[bytes]:
    return (line.encode() for line in lines)


def _json(value: dict[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
