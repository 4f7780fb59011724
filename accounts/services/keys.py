"""API keys: their format, making, checking, rotation and end.

A key is `sk_live_cs_<id>_<secret><checksum>`: a public id to find it by, a secret of 190 bits of which only
the SHA-256 is kept, and a CRC-32 by which a mistyped key is refused before any query.
"""

import datetime
import hashlib
import hmac
import logging
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Least, Now
from redis.exceptions import RedisError

from accounts.models import Actor, ApiKey, KeyKind, KeyMode, Membership, User, Workspace
from accounts.services import callers
from core import ledger, valkey
from core.errors import Conflict, Forbidden, Invalid, Unauthorized

log = logging.getLogger(__name__)

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH, SECRET_LENGTH, CHECKSUM_LENGTH = 12, 32, 6
USE_RECORDED_EVERY = timedelta(minutes=1)

PREFIXES = {
    "sk_live_cs_": (KeyKind.SECRET, KeyMode.LIVE),
    "sk_test_cs_": (KeyKind.SECRET, KeyMode.TEST),
    "pk_live_cs_": (KeyKind.PUBLISHABLE, KeyMode.LIVE),
    "pk_test_cs_": (KeyKind.PUBLISHABLE, KeyMode.TEST),
    "at_cs_": (KeyKind.SCOPED, KeyMode.LIVE),
}
LOOKS_LIKE_A_KEY = re.compile("|".join(PREFIXES))
_KEY = re.compile(
    rf"({'|'.join(PREFIXES)})([0-9A-Za-z]{{{ID_LENGTH}}})_"
    rf"([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)
_SCOPE = re.compile(r"[a-z][a-z0-9_.:-]{0,63}")
_OF_ONE = re.compile(r"(agent|team):[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class KeyRefused(Unauthorized):
    """The key is unknown, expired or revoked; which of these is not told."""

    code = "invalid_key"
    default_detail = "The key is not valid."


class NotRotatable(Conflict):
    """A key that was revoked or rotated has no successor to come."""

    code = "key_not_active"
    default_detail = "The key was revoked or rotated already."


class OriginRefused(Forbidden):
    """A page whose origin the key does not name."""

    code = "origin_not_allowed"
    default_detail = "This key is not for this origin."


@dataclass(frozen=True, slots=True)
class Parsed:
    """A key whose checksum is right."""

    kind: KeyKind
    mode: KeyMode
    public_id: str
    secret: str


def parse(text: str) -> Parsed | None:
    """The parts of a key; None where the format or the checksum is wrong."""
    match = _KEY.fullmatch(text)
    if match is None or _checksum(text[:-CHECKSUM_LENGTH]) != match[4]:
        return None
    kind, mode = PREFIXES[match[1]]
    return Parsed(kind, mode, match[2], match[3])


def create(
    *,
    workspace: Workspace,
    user: User,
    name: str,
    kind: str = KeyKind.SECRET,
    mode: str = KeyMode.LIVE,
    scopes: Sequence[str] = (),
    origins: Sequence[str] = (),
    expires_at: datetime.datetime | None = None,
    by: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which cannot be had again; raises Invalid for what does not fit together.

    `by` is who makes it and is shown the text; None where that is a command.
    """
    prefix = _prefix(kind, mode)
    if not 0 < len(name) <= 200:
        raise Invalid.field("name", "from 1 to 200 characters")
    _check_scopes(kind, scopes)
    if kind == KeyKind.PUBLISHABLE and not origins:
        raise Invalid.field("origins", "a publishable key names the origins that it is used from")
    if not Membership.objects.filter(workspace=workspace, user=user).exists():
        raise Invalid.field("user", "is no member of the workspace")
    public_id, secret = _random(ID_LENGTH), _random(SECRET_LENGTH)
    body = f"{prefix}{public_id}_{secret}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            workspace=workspace,
            user=user,
            name=name,
            kind=kind,
            mode=mode,
            public_id=public_id,
            secret_hash=_hash(secret),
            scopes=sorted(set(scopes)),
            origins=sorted({origin_of(origin) for origin in origins}),
            expires_at=expires_at,
            created_by=by,
        )
        _record_change("key.created", key, by)
    return key, body + _checksum(body)


def verify(text: str) -> Actor:
    """The caller who holds this key; raises KeyRefused. One query, none where the checksum is wrong."""
    parsed = parse(text)
    if parsed is None:
        raise KeyRefused
    secret_hash = _hash(parsed.secret)
    holder = callers.by_key(parsed.public_id, secret_hash)
    if holder is None:
        raise KeyRefused
    key = holder.key
    right = hmac.compare_digest(secret_hash, bytes(key.secret_hash))
    if not right or (key.kind, key.mode) != (parsed.kind, parsed.mode):
        raise KeyRefused
    if not _active(key, holder.now):
        _record_refusal(key)
        raise KeyRefused
    if key.last_used_at is None or holder.now - key.last_used_at > USE_RECORDED_EVERY:
        _record_use(key, holder.now)
    return holder.actor


def still_good(public_id: str) -> Actor | None:
    """The caller behind a key that was verified earlier, unless it has ended since."""
    holder = callers.by_key(public_id)
    return holder.actor if holder and _active(holder.key, holder.now) else None


@transaction.atomic
def rotate(key: ApiKey, *, grace: timedelta, by: User | None = None) -> tuple[ApiKey, str]:
    """A successor and its text, which `by` is shown; the old key works until the grace ends. Raises NotRotatable."""
    successor, text = create(
        workspace=key.workspace,
        user=key.user,
        name=key.name,
        kind=key.kind,
        mode=key.mode,
        scopes=key.scopes,
        origins=key.origins,
        expires_at=key.expires_at,
        by=by,
    )
    successor.first_id = key.line
    successor.save(update_fields=["first_id"])
    active = Q(expires_at=None) | Q(expires_at__gt=Now())
    rotated = ApiKey.objects.filter(active, pk=key.pk, revoked_at=None, rotated_to=None).update(
        rotated_to=successor,
        expires_at=Least(F("expires_at"), Now() + grace),  # PostgreSQL's LEAST skips NULL
    )
    if not rotated:
        raise NotRotatable
    key.refresh_from_db(fields=["rotated_to", "expires_at"])
    _record_change("key.rotated", key, by, successor=successor.public_id, until=key.expires_at)
    return successor, text


@transaction.atomic
def revoke(key: ApiKey, *, by: User | None = None) -> None:
    """End the key at once; a second time changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now()):
        _record_change("key.revoked", key, by)
    key.refresh_from_db(fields=["revoked_at"])


def admit_origin(key: ApiKey, origin: str | None) -> None:
    """Let pass who says no origin, or one that the key names; raises OriginRefused.

    Browsers say it of themselves whenever a page calls another origin with a key, so that no page can leave it out;
    to its own origin they do not say it with a GET. Programs may say what they like, and no origin stops them.
    """
    if origin is not None and origin.lower() not in key.origins:
        raise OriginRefused


def named_by_any(origin: str) -> bool:
    """Whether any key that works names this origin: whoever's it is, a browser may let its page ask."""
    works = Q(expires_at=None) | Q(expires_at__gt=Now())
    return ApiKey.objects.filter(works, revoked_at=None, origins__contains=[origin.lower()]).exists()


def origin_of(url: str) -> str:
    """An origin as browsers write it (`https://example.org`); raises Invalid for anything more or less."""
    try:
        parts = urlsplit(url.strip().lower())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise Invalid.field("origins", "each is a scheme and a host, such as https://example.org")
    if parts.query or parts.fragment or parts.username is not None or "*" in parts.netloc:
        raise Invalid.field("origins", "each is a scheme and a host, such as https://example.org")
    default = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def _prefix(kind: str, mode: str) -> str:
    for prefix, pair in PREFIXES.items():
        if pair == (kind, mode):
            return prefix
    raise Invalid.field("kind", f"there is no key of kind {kind!r} and mode {mode!r}")


def _check_scopes(kind: str, scopes: Sequence[str]) -> None:
    """Raises Invalid for scopes that do not fit: those of one agent or team are a scoped key's, and stand alone.

    Beside `chat`, which opens every agent, `agent:<id>` would say less than it seems to.
    """
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise Invalid.field("scopes", "each is a short name in lower case")
    of_one = [scope for scope in scopes if scope.partition(":")[0] in ("agent", "team")]
    if any(not _OF_ONE.fullmatch(scope) for scope in of_one):
        raise Invalid.field("scopes", "one agent is agent:<id>, one team is team:<id>, with the id as the API shows it")
    if of_one and (kind != KeyKind.SCOPED or len(of_one) < len(scopes)):
        raise Invalid.field("scopes", "agent:<id> and team:<id> are for keys of kind scoped, and stand with no others")


def _active(key: ApiKey, now: datetime.datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


@transaction.atomic
def _record_use(key: ApiKey, now: datetime.datetime) -> None:
    """Note the use, once a minute whatever the number of requests; the day's first is told to the audit log."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - USE_RECORDED_EVERY)
    noted = ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=Now())
    if noted and (key.last_used_at is None or key.last_used_at.date() < now.date()):
        ledger.record(_entry("key.used", key, _holder(key)))


def _record_refusal(key: ApiKey) -> None:
    """Tell the audit log that an ended key was shown, once a minute: its program may try without end."""
    try:
        if not valkey.quick().set(f"refused:{key.public_id}", "1", nx=True, ex=int(USE_RECORDED_EVERY.total_seconds())):
            return
    except RedisError:
        log.warning("each refusal of a key is recorded while Valkey is away")
    with transaction.atomic():
        ledger.record(_entry("key.refused", key, _holder(key)))


def _record_change(type: str, key: ApiKey, by: User | None, **more: object) -> None:
    who = ledger.person(by.pk, label=by.email) if by else ledger.SYSTEM
    about = {"name": key.name, "kind": key.kind, "mode": key.mode, "scopes": key.scopes, "origins": key.origins}
    ledger.record(_entry(type, key, who, **about, expires_at=key.expires_at, of=key.user.email, **more))


def _holder(key: ApiKey) -> ledger.Who:
    return ledger.person(key.user_id, label=key.user.email, key=key.public_id)


def _entry(type: str, key: ApiKey, who: ledger.Who, **data: object) -> ledger.Entry:
    told = {"of_key": key.public_id, **data}
    return ledger.Entry(type=type, workspace_id=key.workspace_id, who=who, target=("key", key.pk), data=told)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits.rjust(CHECKSUM_LENGTH, ALPHABET[0])
