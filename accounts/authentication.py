"""Who is asking: the bearer token of a request or a WebSocket, an API key or a JSON web token, as an Actor."""

import hashlib
import json
import secrets
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Actor, KeyKind
from accounts.services import callers, keys, login
from core import logs, valkey
from core.errors import Forbidden, Unauthorized

TICKET_SECONDS = 30
KEY_IN_URL = '299 countersign "The key in this URL is in logs now: rotate it"'


class OriginRefused(Forbidden):
    """A publishable key outside the origins that it names."""

    code = "origin_not_allowed"
    default_detail = "This key is not for this origin."


class InvalidToken(Unauthorized):
    """The token is no key and no JSON web token of ours, or has run out."""

    code = "invalid_token"
    default_detail = "The token is not valid or has expired."


def actor_of(request: Request) -> Actor:
    """The caller that a permission of ours has let in."""
    actor: Any = request.user  # DRF's stubs know only Django's users
    assert isinstance(actor, Actor), "HasWorkspace lets nobody else in"
    return actor


class _BearerAuthentication(BaseAuthentication):
    """The common part: the header, and no credential in the URL."""

    takes_keys: bool

    def authenticate(self, request: Request) -> tuple[Actor, str] | None:
        """The caller and their token; None without one of this kind. Raises Unauthorized."""
        text = bearer(request._request)
        if text is None or bool(keys.LOOKS_LIKE_A_KEY.match(text)) != self.takes_keys:
            return None
        actor = authenticate_token(text, origin=request.headers.get("Origin"))
        bind(actor)
        return actor, text

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return "Bearer"


class ApiKeyAuthentication(_BearerAuthentication):
    """API keys."""

    takes_keys = True


class JwtAuthentication(_BearerAuthentication):
    """JSON web tokens from `/v1/auth/login`."""

    takes_keys = False


def bearer(request: HttpRequest) -> str | None:
    """The bearer token of a request, None without one; raises Unauthorized for a bad header or a key in the URL."""
    if keys.LOOKS_LIKE_A_KEY.search(unquote(request.META.get("QUERY_STRING", ""))):
        raise Unauthorized("A key belongs into the Authorization header.", headers={"Warning": KEY_IN_URL})
    header: str | None = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text or " " in text or not text.isascii():
        raise Unauthorized
    return text


def authenticate_token(text: str, *, origin: str | None = None) -> Actor:
    """The caller that a key or a JSON web token stands for; raises Unauthorized or OriginRefused."""
    if not keys.LOOKS_LIKE_A_KEY.match(text):
        return _of_jwt(text)
    actor = keys.verify(text)
    key = actor.key
    if key and key.kind == KeyKind.PUBLISHABLE and (origin or "").lower() not in key.origins:
        raise OriginRefused
    return actor


def bind(actor: Actor) -> None:
    """Put the caller's ids on the log lines of the request at hand."""
    fields = {"actor": str(actor.user.pk), "workspace": str(actor.workspace.pk)}
    logs.bind(**fields, **({"key": actor.key.public_id} if actor.key else {}))


def issue_ticket(actor: Actor) -> str:
    """A text that opens one WebSocket within 30 seconds, for where a header cannot be sent. Valkey keeps it."""
    ticket = f"wst_{secrets.token_urlsafe(32)}"
    claims = [str(actor.user.pk), str(actor.workspace.pk), actor.key.public_id if actor.key else None]
    with valkey.needed():
        valkey.quick().set(_ticket_name(ticket), json.dumps(claims), ex=TICKET_SECONDS)
    return ticket


def redeem_ticket(ticket: str) -> Actor:
    """The caller a ticket was issued to, once; raises InvalidToken."""
    with valkey.needed():
        raw = valkey.quick().getdel(_ticket_name(ticket))
    if raw is None:
        raise InvalidToken
    user_id, workspace_id, key_id = json.loads(raw)
    actor = keys.still_good(key_id) if key_id else callers.by_member(UUID(user_id), UUID(workspace_id))
    if actor is None:
        raise InvalidToken
    return actor


def _ticket_name(ticket: str) -> str:
    # By its digest: who reads Valkey's memory or its log finds no ticket to use.
    return f"ticket:{hashlib.sha256(ticket.encode(errors='replace')).hexdigest()}"


def _of_jwt(text: str) -> Actor:
    try:
        claims = AccessToken(text)  # type: ignore[arg-type]  # its stubs want its own Token
        actor = callers.by_member(UUID(claims["user_id"]), UUID(claims["workspace_id"]))
        stamp = claims["stamp"]
    except (TokenError, KeyError, ValueError, AttributeError):
        raise InvalidToken from None
    if actor is None or stamp != login.stamp(actor.user):
        raise InvalidToken
    return actor
