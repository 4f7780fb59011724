"""Calling the API of approvals."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Actor
from accounts.services import login
from approvals.models import Approval
from tests.cast import Api

LIST = "/v1/ai/approvals"


def url(approval: Approval) -> str:
    return f"{LIST}/{approval.pk}"


def token_of(actor: Actor, typed: timedelta | None = None) -> str:
    """An access token of the person, whose password was typed so long ago, if it says so."""
    token = AccessToken()
    token["user_id"], token["workspace_id"] = str(actor.user.pk), str(actor.workspace.pk)
    token["stamp"] = login.stamp(actor.user)
    if typed is not None:
        token["auth_time"] = int((datetime.now(UTC) - typed).timestamp())
    return str(token)


def signed_in(actor: Actor, typed: timedelta | None = None) -> Api:
    return Api(token_of(actor, typed))


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    return answer.json()
