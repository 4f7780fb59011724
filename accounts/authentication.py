"""Who is asking: the bearer token of a request or a WebSocket, an API key or a JSON web token, as an Actor.

A browser's session is looked at in `signedin`.
"""

import hashlib
import json
import secrets
import time
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError

from accounts.models import Actor, KeyKind
from accounts.services import callers, client_tokens, keys, login, mfa, sessions
from core import logs, sealed, valkey
from core.errors import Invalid, Unauthorized

TICKET_SECONDS = 30
CLIENT_TOKEN = "X-Client-Token"
KEY_IN_URL = '299 countersign "The key in this URL is in logs now: rotate it"'


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
        actor = authenticate_token(
            text, origin=request.headers.get("Origin"), client_token=request.headers.get(CLIENT_TOKEN)
        )
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


def authenticate_token(text: str, *, origin: str | None = None, client_token: str | None = None) -> Actor:
    """The caller that a key or a JSON web token stands for; raises Unauthorized, OriginRefused or Invalid.

    With a client token, which goes with publishable keys alone, they speak for the visitor whom it names.
    """
    if not keys.LOOKS_LIKE_A_KEY.match(text):
        return _of_jwt(text)
    actor = keys.verify(text)
    key = actor.key
    if key and key.kind == KeyKind.PUBLISHABLE:
        keys.admit_origin(key, origin)
        return replace(actor, visitor=client_tokens.visitor(client_token, key)) if client_token is not None else actor
    if client_token is not None:
        raise Invalid.field(CLIENT_TOKEN, "A client token goes with a publishable key alone.")
    return actor


def bind(actor: Actor) -> None:
    """Put the caller's ids on the log lines of the request at hand."""
    fields = {"actor": str(actor.user.pk), "workspace": str(actor.workspace.pk)}
    logs.bind(**fields, **({"key": actor.key.public_id} if actor.key else {}))


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whom a ticket stands for, and what it ends with: their key, or the token or the session that it was got with."""

    user_id: str
    workspace_id: str
    key_id: str
    stamp: str
    token_ends: int
    sealed_session: str

    def holder(self) -> Actor:
        """The caller as they are now; raises InvalidToken once what the ticket was got with has ended."""
        if self.key_id:
            actor = keys.still_good(self.key_id)
        else:
            actor = callers.by_member(UUID(self.user_id), UUID(self.workspace_id))
        if actor is None or not (self.key_id or self._holds(actor)):
            raise InvalidToken
        return actor

    def _holds(self, actor: Actor) -> bool:
        if self.stamp != login.stamp(actor.user) or 0 < self.token_ends <= time.time():
            return False
        if self.sealed_session:
            return sessions.holds(sealed.unseal(self.sealed_session), actor)
        return not mfa.withheld(actor)


def issue_ticket(actor: Actor, *, token: str = "", session_key: str | None = None) -> str:
    """A text that opens one WebSocket within 30 seconds, for where a header cannot be sent. Valkey keeps it.

    The socket ends with the JSON web token or the session that the caller came with.
    """
    ticket = f"wst_{secrets.token_urlsafe(32)}"
    claims = Ticket(
        user_id=str(actor.user.pk),
        workspace_id=str(actor.workspace.pk),
        key_id=actor.key.public_id if actor.key else "",
        stamp=login.stamp(actor.user),
        token_ends=login.claims_of(token)["exp"] if token and not actor.key else 0,
        sealed_session=sealed.seal(session_key) if session_key else "",
    )
    with valkey.needed():
        valkey.quick().set(_ticket_name(ticket), json.dumps(asdict(claims)), ex=TICKET_SECONDS)
    return ticket


def redeem_ticket(ticket: str) -> Ticket:
    """What a ticket was issued for, once; raises InvalidToken."""
    with valkey.needed():
        raw = valkey.quick().getdel(_ticket_name(ticket))
    if raw is None:
        raise InvalidToken
    found = Ticket(**json.loads(raw))
    found.holder()
    return found


def _ticket_name(ticket: str) -> str:
    # By its digest: who reads Valkey's memory or its log finds no ticket to use.
    return f"socket-ticket:{hashlib.sha256(ticket.encode(errors='replace')).hexdigest()}"


def _of_jwt(text: str) -> Actor:
    try:
        claims = login.claims_of(text)
        actor = callers.by_member(UUID(claims["user_id"]), UUID(claims["workspace_id"]))
        stamp = claims["stamp"]
    except (TokenError, KeyError, ValueError, AttributeError):
        raise InvalidToken from None
    if actor is None or stamp != login.stamp(actor.user):
        raise InvalidToken
    if mfa.withheld(actor):
        raise mfa.MfaSetupRequired
    return actor
