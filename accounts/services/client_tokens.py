"""Client tokens: a server tells a page's visitor who they are, and the page tells us, for an hour or so.

A token is signed with the installation's key. It holds its workspace, the visitor's id as the server knows it, the
secret key that it was made with, its end and, where that was asked for, the one publishable key that it goes with.
"""

import datetime
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.core import signing
from django.utils import timezone

from accounts.models import Actor, ApiKey, KeyKind
from accounts.services import keys
from core.errors import Forbidden, Invalid, Unauthorized

SALT = "accounts.client-token"
LASTS = timedelta(hours=1)
LONGEST = timedelta(hours=24)
MOST_CHARACTERS = 5_000
LONGEST_USER_ID = 200


class TokenRefused(Unauthorized):
    """The client token is forged, of another workspace or key, or has run out; which of these is not told."""

    code = "invalid_client_token"
    default_detail = "The client token is not valid or has expired. Ask your server for a new one."


class ServersKeyNeeded(Forbidden):
    """Who a visitor is, a server says with its secret key."""

    code = "secret_key_required"
    default_detail = "Who a visitor is, a server says with its secret key."


@dataclass(frozen=True, slots=True)
class Minted:
    """A token and when it ends."""

    token: str
    expires_at: datetime.datetime


def mint(by: Actor, user_id: str, *, ttl: timedelta = LASTS, public_id: str | None = None) -> Minted:
    """A token with which a publishable key speaks for this visitor: the one named, or any of the workspace.

    Raises ServersKeyNeeded, or Invalid for a key that the workspace has not.
    """
    if by.key is None or by.key.kind != KeyKind.SECRET:
        raise ServersKeyNeeded
    line: UUID | None = None
    if public_id is not None:
        pages = ApiKey.objects.filter(workspace=by.workspace, kind=KeyKind.PUBLISHABLE, public_id=public_id)
        page = pages.first()
        if page is None:
            raise Invalid.field("publishableKeyId", "names no publishable key of this workspace", "unknown_key")
        line = page.line
    expires_at = timezone.now() + ttl
    told = [str(by.workspace.pk), user_id, by.key.public_id, int(expires_at.timestamp()), str(line) if line else ""]
    return Minted(signing.dumps(told, salt=SALT), expires_at.replace(microsecond=0))


def visitor(token: str, key: ApiKey) -> str:
    """The visitor for whom a publishable key speaks with this token; raises TokenRefused.

    A token ends with the secret key that it was made with.
    """
    try:
        workspace_id, user_id, made_with, ends, line = signing.loads(token[: MOST_CHARACTERS + 1], salt=SALT)
    except (signing.BadSignature, ValueError):
        raise TokenRefused from None
    right = workspace_id == str(key.workspace_id) and line in ("", str(key.line))
    if not right or ends <= timezone.now().timestamp() or keys.still_good(made_with) is None:
        raise TokenRefused
    return str(user_id)
