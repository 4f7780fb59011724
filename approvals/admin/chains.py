"""Whether a workspace's log is whole, found out beside the requests, and a copy of it to take away."""

import asyncio
import datetime
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as DbError
from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from redis.exceptions import RedisError

from accounts.models import Workspace
from approvals.models import AuditHead, AuditSeal
from approvals.services import heads, proving, verifying
from approvals.shown import span
from core import valkey

log = logging.getLogger(__name__)

KEPT_SECONDS = 30 * 86_400
SILENT_SECONDS = 60  # without a word, after which whoever was looking is taken for dead
LINES = 500  # of an export, sent at a time
PATIENCE_SECONDS = 60.0  # with who takes an export, for each of these
AHEAD = 4  # of these that wait for who takes them

_threads = ThreadPoolExecutor(2, thread_name_prefix="chains")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at a chain has come to: `rows` so far, and once it is `done` what is wrong."""

    rows: int
    done: bool
    at: float
    seq: int = 0
    erased: int = 0
    heads: int = 0
    faults: tuple[str, ...] = ()

    @property
    def under_way(self) -> bool:
        """Whether somebody looks right now."""
        return not self.done and time.time() - self.at < SILENT_SECONDS

    @property
    def since(self) -> str:
        """How long ago that was."""
        return span(datetime.timedelta(seconds=time.time() - self.at))


def shown(rows: QuerySet[Workspace]) -> list[dict[str, Any]]:
    """The chains of these workspaces: how long each is, how far it is signed, and when it was looked at."""
    seals = AuditSeal.objects.filter(workspace_id=OuterRef("pk")).order_by("-seq").values("seq")
    signed = AuditHead.objects.filter(workspace_id=OuterRef("pk")).order_by("-seq")
    found = rows.annotate(
        seq=Subquery(seals[:1]),
        head=Subquery(signed.values("seq")[:1]),
        head_at=Subquery(signed.values("signed_at")[:1]),
        head_key=Subquery(signed.values("key_id")[:1]),
    )
    return [{"workspace": row, "verified": last(row.pk)} for row in found.order_by("name")]


def verify(workspace_id: UUID) -> bool:
    """Begin to look at the chain, beside the requests; False where somebody looks already."""
    before = last(workspace_id)
    if before is not None and before.under_way:
        return False
    _keep(workspace_id, Verified(0, False, time.time()))
    _threads.submit(_look, workspace_id)
    return True


def last(workspace_id: UUID) -> Verified | None:
    """What the last look came to, None where there was none, or Valkey does not answer."""
    try:
        text: Any = valkey.client().get(_key(workspace_id))
    except RedisError:
        return None
    if text is None:
        return None
    told = json.loads(text)
    return Verified(**{**told, "faults": tuple(told["faults"])})


async def export(lines: Iterator[proving.Line]) -> AsyncIterator[bytes]:
    """The lines, made in one thread from beginning to end, at the pace of who takes them."""
    loop, ready = asyncio.get_running_loop(), asyncio.Queue[bytes | Exception | None]()
    room, left = threading.Semaphore(AHEAD), False

    def hand_over(piece: bytes | Exception | None) -> None:
        if not room.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError
        loop.call_soon_threadsafe(ready.put_nowait, piece)

    def make() -> None:
        try:
            while not left and (some := list(islice(lines, LINES))):
                hand_over("".join(f"{line.text}\n" for line in some).encode())
            hand_over(None)
        except (TimeoutError, RuntimeError):  # nobody takes it, or the process ends
            log.warning("an export was not taken to its end")
        except DbError as error:
            hand_over(error)
        finally:
            connection.close()

    _threads.submit(make)
    try:
        while (piece := await ready.get()) is not None:
            room.release()
            if isinstance(piece, Exception):
                raise piece  # so that what was sent so far does not look whole
            yield piece
    finally:
        left = True
        room.release(AHEAD)  # so that who makes it can look up, and see that nobody is there


def _look(workspace_id: UUID) -> None:
    try:
        report = verifying.verify(
            workspace_id,
            told=[head for head in _told() if head.workspace_id == workspace_id],
            progress=lambda rows: _keep(workspace_id, Verified(rows, False, time.time())),
        )
        faults = tuple(f"{f'Place {one.seq}: ' if one.seq else ''}{one.text}" for one in report.faults)
        found = Verified(report.rows, True, time.time(), report.rows, report.erased, report.heads, faults)
        _keep(workspace_id, found)
    except Exception:  # a thread's outermost loop: the page says that nobody came to an end
        log.exception("the log could not be verified", extra={"workspace": str(workspace_id)})
    finally:
        connection.close()


def _told() -> list[heads.Head]:
    """The heads in the file that is kept outside of the database, where this machine has it."""
    path = Path(settings.AUDIT_HEADS_FILE)
    return heads.read(path.read_text().splitlines()) if path.is_file() else []


def _keep(workspace_id: UUID, state: Verified) -> None:
    try:
        valkey.client().set(_key(workspace_id), json.dumps(asdict(state)), ex=KEPT_SECONDS)
    except RedisError as error:
        log.warning("what a look at the log came to could not be kept", extra={"error": str(error)})


def _key(workspace_id: UUID) -> str:
    return f"audit:verified:{workspace_id}"
