"""The door for webhooks that come in: POST /v1/ai/hooks/{hook_id}, opened by a signature in place of a key."""

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.services import hooks
from approvals.services import audit
from chat.services import background
from core.errors import Conflict


class HookView(APIView):
    """POST /v1/ai/hooks/{hook_id}."""

    authentication_classes = ()
    permission_classes = ()
    limit_bucket = "hook"

    # Not in the schema, which tells of what keys and tokens open: docs/webhooks.md has it.
    @extend_schema(exclude=True)
    def post(self, request: Request, hook_id: UUID) -> Response:
        """Wake the hook's agent with what was sent: 202, or 200 for a repetition, which does nothing."""
        told = hooks.receive(
            hook_id,
            headers=request.headers,
            media_type=str(request.content_type).partition(";")[0].strip().lower(),
            body=request._request.body,  # as it came: the signature is over these bytes
            act=wake,
        )
        return Response({"status": "repeated", "run_id": None}, 200) if told is None else Response(told, 202)


def wake(event: hooks.Event) -> dict[str, Any]:
    """Start the agent's run and say so, or say why not: the sender cannot help it that the agent is busy or off."""
    hook = event.hook
    try:
        with transaction.atomic():
            run = background.wake(
                hook.agent,
                told=f"The webhook {hook.name!r} came.",
                event={"webhook_id": event.webhook_id, "data": event.data},
                who=audit.Who("system", None, label=f"webhook {hook.name}"),
                behind=hook.author,
            )
    except Conflict as error:
        return {"status": error.code, "run_id": None}
    return {"status": "accepted", "run_id": str(run.pk)}
