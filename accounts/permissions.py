"""What a caller may do, beyond being known: kind and scopes of their key, and their role."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import Actor, KeyKind, Role
from accounts.services import keys
from core.errors import Forbidden, Unauthorized


class SecretKeyNeeded(Forbidden):
    """A page's key, where only a server's key or a person's token will do."""

    code = "secret_key_required"
    default_detail = "A publishable key may not do this."


class ScopeMissing(Forbidden):
    """A restricted key outside of what it is for."""

    code = "scope_required"
    default_detail = "The key's scopes do not cover this."


class RoleMissing(Forbidden):
    """The person's role in the workspace does not carry this."""

    code = "role_required"
    default_detail = "Your role in this workspace does not allow this."


class KeyOfAnother(Forbidden):
    """Whoever was shown a key can use it: what is said by it may be theirs instead of the person's."""

    code = "key_of_another"
    default_detail = (
        "This key was made by somebody else than the person it acts for, and says nothing of agents in their name. "
        "Use a key that the person made, or the admin."
    )


def own_key(actor: Actor) -> None:
    """Raises KeyOfAnother where the caller's key was made by somebody else."""
    if actor.key is not None and actor.key.maker is not None:
        raise KeyOfAnother


def admit(actor: Actor, scope: str | None, *, own_scope: str | None = None, publishable_ok: bool = False) -> None:
    """Let pass whoever's key goes so far, through whichever door; raises a kind of Forbidden.

    `own_scope` is that of the one agent or team that the door leads to, such as `agent:<id>`.
    """
    if actor.key is None:
        return
    if actor.key.kind == KeyKind.PUBLISHABLE and not publishable_ok:
        raise SecretKeyNeeded
    if actor.key.scopes and not {scope, own_scope} & set(actor.key.scopes):
        raise ScopeMissing(f"{ScopeMissing.default_detail[:-1]}: {_needed(scope, own_scope)}.")


def _needed(scope: str | None, own_scope: str | None) -> str:
    """Which scopes would do; an id is not repeated, whether or not it is anybody's."""
    names = [f"`{scope}`"] if scope else []
    if own_scope:
        names.append(f"`{own_scope.partition(':')[0]}:<id>` of this very one")
    return f"it needs {' or '.join(names)}" if names else "it needs a key without scopes"


class HasWorkspace(BasePermission):
    """Admits callers who belong to a workspace, as far as their key goes.

    A view says `publishable_ok = True` where pages may call it, and `scope = "chat"` for what a restricted key
    needs; a key with scopes opens nothing where a view names none. One that a key of a single agent or team opens too
    says which by `own_scope`.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or raises Unauthorized or a kind of Forbidden."""
        actor = request.user
        if not isinstance(actor, Actor):
            raise Unauthorized
        admit(
            actor,
            getattr(view, "scope", None),
            own_scope=getattr(view, "own_scope", None),
            publishable_ok=getattr(view, "publishable_ok", False),
        )
        return True


class FromPages(HasWorkspace):
    """As HasWorkspace, for views that pages call: a secret key is let in from no page but those that it names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or raises Unauthorized or a kind of Forbidden."""
        actor: Any = request.user
        if isinstance(actor, Actor) and actor.key is not None:
            keys.admit_origin(actor.key, request.headers.get("Origin"))
        return super().has_permission(request, view)


class HasRole(HasWorkspace):
    """As HasWorkspace, for the roles that the view names in `roles`; an admin has them all."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or raises Unauthorized or a kind of Forbidden."""
        super().has_permission(request, view)
        actor: Any = request.user
        roles: tuple[Role, ...] = getattr(view, "roles", ())
        if not actor.may(*roles):
            raise RoleMissing
        return True
