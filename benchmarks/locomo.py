"""Recall on conversations of LoCoMo's shape, through the services: what is kept, embedded and recalled as in a chat.

The file is a list of `{"sample_id", "conversation", "qa"}`: in the conversation `speaker_a`, `speaker_b`, `session_N`
(turns with `dia_id`, `speaker`, `text`, perhaps `blip_caption`) and `session_N_date_time`; in each of `qa` `question`,
`category` and `evidence`, the ids of the turns that answer it. LoCoMo itself is CC BY-NC 4.0 and stays outside.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

from django.conf import settings
from django.test.utils import override_settings

from accounts.models import User, Workspace
from agents.models import Agent
from benchmarks import report
from companions.models import Companion
from memory import recall
from memory.models import Owner
from memory.services import embedding, keeping
from memory.services.keeping import Told

KINDS = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
AT = (5, 10, 25, 50)
_SPACE = uuid.UUID("6f3f0a3e-6d0e-4a55-9a3c-0d7a8f2f5a11")
_TURN = re.compile(r"D:?\s*(\d+)\s*:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, of which kind it is, and the ids of the messages that answer it."""

    text: str
    kind: int
    evidence: frozenset[uuid.UUID]


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation that is kept: whose it is, its last moment, how many messages, what is asked."""

    owner: Owner
    now: datetime
    messages: int
    asked: Sequence[Asked]


@dataclass(frozen=True, slots=True)
class Hit:
    """Of one question: its kind, and the share of its evidence among the first k for each of AT."""

    kind: int
    found: Mapping[int, float]


def keep(path: Path) -> list[Talk]:
    """Keep the file's conversations, each of a person of its own with a companion of its own, vectors and all."""
    workspace = Workspace.objects.create(name="LoCoMo", slug=f"locomo-{uuid.uuid4().hex[:8]}")
    talks = [_keep(workspace, sample) for sample in json.loads(path.read_text())]
    while embedding.embed_missing():
        pass
    return talks


def ask(talks: Sequence[Talk], *, names: Mapping[str, str] | None = None) -> list[Hit]:
    """Ask everything; with `names` the people are called so, and not as they are."""
    hits = []
    for talk in talks:
        for one in talk.asked:
            found = recall.recall([talk.owner], one.text, limit=max(AT), now=talk.now, names=names)
            first = [entry.entry.message_id for entry in found]
            hits.append(Hit(one.kind, {k: len(one.evidence & {*first[:k]}) / len(one.evidence) for k in AT}))
    return hits


def at(hits: Sequence[Hit], k: int, kind: int | None = None) -> float:
    """R@k in per cent, of one kind or all."""
    return 100 * mean([hit.found[k] for hit in hits if kind in (None, hit.kind)] or [0.0])


def _keep(workspace: Workspace, sample: dict[str, Any]) -> Talk:
    conversation, name = sample["conversation"], sample["sample_id"]
    speakers = {conversation["speaker_a"]: "person", conversation["speaker_b"]: "companion"}
    user = User.objects.create_user(f"{name}@{workspace.slug}.example", name=conversation["speaker_a"])
    agent = Agent.objects.create(workspace=workspace, slug=f"of-{name}", name=name)
    companion = Companion.objects.create(
        workspace=workspace, type=f"of-{name}", name=conversation["speaker_b"], agent=agent
    )
    owner = Owner.objects.create(workspace=workspace, user=user, companion=companion)
    told = [
        Told(
            conversation_id=uuid.uuid5(_SPACE, f"{owner.pk} {session}"),
            message_id=_message(owner, turn["dia_id"]),
            speaker=speakers[turn["speaker"]],
            text=turn["text"] + (f"\n[{turn['blip_caption']}]" if turn.get("blip_caption") else ""),
            said_at=begun + timedelta(seconds=30 * place),
        )
        for session, begun, turns in _sessions(conversation)
        for place, turn in enumerate(turns)
    ]
    kept = keeping.keep_old(owner, told)
    there = {one.message_id for one in told}
    asked = []
    for one in sample["qa"]:
        named = {_message(owner, f"D{int(a)}:{int(b)}") for text in one["evidence"] for a, b in _TURN.findall(text)}
        if named & there:  # without evidence there is nothing to find; what it names and is not there counts nowhere
            asked.append(Asked(one["question"], one["category"], frozenset(named & there)))
    return Talk(owner, max(one.said_at for one in told if one.said_at), kept, asked)


def _message(owner: Owner, turn: str) -> uuid.UUID:
    return uuid.uuid5(_SPACE, f"{owner.pk} {turn}")


def _sessions(conversation: dict[str, Any]) -> Iterator[tuple[str, datetime, list[dict[str, Any]]]]:
    names = [key for key in conversation if re.fullmatch(r"session_\d+", key)]
    for name in sorted(names, key=lambda name: int(name[8:])):
        begun = datetime.strptime(conversation[f"{name}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        yield name, begun, conversation[name]


def tables(path: Path, *, ablations: bool, tell: Callable[[str], None]) -> list[str]:
    """What is found, by kind, and what each part of the score is worth."""
    talks = keep(path)
    messages, asked = sum(talk.messages for talk in talks), sum(len(talk.asked) for talk in talks)
    tell(f"{messages:,} messages are kept, {asked:,} questions are asked")
    whole = ask(talks)
    kinds = [kind for kind in KINDS if any(hit.kind == kind for hit in whole)]
    rows = [_row("all", whole), *(_row(KINDS[kind], [hit for hit in whole if hit.kind == kind]) for kind in kinds)]
    found = [
        "### What is found",
        f"`{path.name}`: {len(talks)} conversations, {messages:,} messages. R@k: of the messages that answer a "
        "question, the share that is among the first k, in per cent; the mean of all questions that have any.",
        report.table(["questions", "how many", *(f"R@{k}" for k in AT)], rows),
    ]
    if ablations:
        tell("parts of the score, one at a time")
        found += ["### What each part is worth", report.table(["without", *(f"R@{k}" for k in AT)], _ablated(talks))]
    return found


def _row(name: str, hits: Sequence[Hit]) -> list[str]:
    return [name, f"{len(hits):,}", *(f"{at(hits, k):.1f}" for k in AT)]


def _ablated(talks: Sequence[Talk]) -> list[list[str]]:
    weights = settings.RECALL_WEIGHTS
    lone: dict[str, dict[str, Any]] = {
        name: {"RECALL_WEIGHTS": {**weights, **dict.fromkeys(parts, 0.0)}}
        for name, parts in {
            "its own words": ("words", "share"), "words said before and after": ("before", "after", "earlier"),
            "the session": ("session",), "the speaker": ("speaker",), "the date": ("date",),
            "the penalty of questions": ("asks",), "being an answer": ("answers",),
            "times and places for when and where": ("when", "where"),
            "signs of what is told of oneself": ("personal", "time", "name"), "the next one's meaning": ("next",),
        }.items()
    }  # fmt: skip
    found = []
    for name, changed in {"any embedding": {"EMBEDDER": "none"}, **lone}.items():
        with override_settings(**changed):
            found.append((name, ask(talks)))
    found.append(("cutting names from the question", ask(talks, names={})))
    return [[name, *(f"{at(hits, k):.1f}" for k in AT)] for name, hits in found]
