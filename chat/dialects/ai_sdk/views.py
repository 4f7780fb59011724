"""The AI SDK's two doors: `sendMessages` and `reconnectToStream` of `DefaultChatTransport`."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from msgspec import structs
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.models import Actor
from approvals.models import ApprovalStatus
from approvals.services import approvals
from chat import stream
from chat.dialects import responding, waiting, wishes
from chat.dialects.ai_sdk import inbound, schema
from chat.dialects.ai_sdk.encoder import DONE, EMPTY_STEP, Encoder, failure, to_sse
from chat.dialects.ai_sdk.inbound import Brought
from chat.dialects.ai_sdk.serializers import REGENERATE, AiSdkChat, SdkQuery
from chat.following import Numbered, follow
from chat.models import Conversation, Run
from chat.services import actions, addressing, continuing, conversations, replacing, verdicts
from chat.services.saying import Said
from core.errors import Conflict
from core.negotiation import AnyAccept

BROKE = "The stream broke off by a fault of ours; reconnect to it."
FAULT = to_sse(*failure(BROKE, "internal_error", retryable=True)) + DONE
HEADER = "x-vercel-ai-ui-message-stream"
EVENT_STREAM = "text/event-stream; charset=utf-8"
STILL_PENDING = "pending"  # why a vote did not decide: others are needed, or the policy wants more than a chat can send


class NothingToGoOnWith(Conflict):
    """The last message is the assistant's, and no run of the chat waits for anything that it brings."""

    code = "nothing_to_go_on_with"
    default_detail = "No answer of this chat is under way. Send a message of the user."


class ChatView(APIView):
    """POST /api/ai-sdk/chat."""

    scope = "chat"
    limit_bucket = "chat"
    body_limit = settings.BODY_LIMIT_IMAGES
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[SdkQuery, schema.WAIT],
        request=AiSdkChat,
        responses=schema.CHAT,
        examples=schema.EXAMPLES,
        operation_id="ai_sdk_chat",
        tags=["ai-sdk"],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Say something, or bring what a waiting answer needs; the answer comes as a UI message stream."""
        actor, sdk = actor_of(request), sdk_of(request)
        body, wait = AiSdkChat.read(request.data), waiting.seconds(request)
        path, message = inbound.last(body)
        if message["role"] == "user":
            said, answered = inbound.said(body, path, message), partial(serve, sdk)
            if body["trigger"] == REGENERATE:
                return regenerate(request, body, said, sdk=sdk, wait=wait)
            return responding.respond(request, said, partial(find_conversation, actor, body), answered, wait=wait)
        return go_on(request, body["id"], inbound.brought(path, message), sdk=sdk, wait=wait)


class ResumeView(APIView):
    """GET /api/ai-sdk/chat/{id}/stream."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        parameters=[SdkQuery, schema.WAIT],
        responses=schema.RESUME,
        operation_id="ai_sdk_resume",
        tags=["ai-sdk"],
    )
    def get(self, request: Request, chat_id: str) -> HttpResponseBase:
        """The answer that is under way, from its start and then live; 204 where there is none."""
        sdk, wait = sdk_of(request), waiting.seconds(request)
        conversation = conversations.of_client(chat_id, by=actor_of(request))
        run = continuing.active(conversation) if conversation else None
        return HttpResponse(status=204) if run is None else from_start(run, sdk=sdk, wait=wait)


def sdk_of(request: Request) -> int:
    """The major version of the client's package."""
    return int(SdkQuery.read(request.query_params)["sdk"])


def find_conversation(actor: Actor, body: dict[str, Any]) -> Conversation:
    """The caller's conversation that their client calls so, or a new one; raises Invalid where it is with another."""
    address, found = inbound.address_of(body), conversations.of_client(body["id"], by=actor)
    if found is None:
        return addressing.new(address, by=actor, client_id=body["id"])
    addressing.check(found, address)
    return found


def serve(sdk: int, run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """A new run's events."""
    encode = Encoder(sdk=sdk, run=about(run))
    return respond(encode, batches, encode.start())


def from_start(run: Run, *, sdk: int, wait: float) -> HttpResponseBase:
    """All that a run said so far, and then what comes."""
    encode = Encoder(sdk=sdk, run=about(run), outputs=continuing.outputs(run))
    first = encode.start() + encode.past(continuing.past(run))
    return respond(encode, follow(str(run.pk), after=run.seq, wait=wait), first)


def regenerate(request: Request, body: dict[str, Any], said: Said, *, sdk: int, wait: float) -> HttpResponseBase:
    """Answer the last message anew, or for the first time where it never arrived; an answer under way goes on."""
    actor = actor_of(request)
    conversation = find_conversation(actor, body)
    if run := continuing.active(conversation):
        return from_start(run, sdk=sdk, wait=wait)
    old = replacing.last_turn(conversation, text=said.text, run_id=inbound.uuid_of(body.get("messageId") or ""))
    replace = partial(replacing.replace, old=old, by=actor) if old else None
    return responding.respond(request, said, lambda: conversation, partial(serve, sdk), wait=wait, also=replace)


def go_on(request: Request, chat_id: str, brought: Brought, *, sdk: int, wait: float) -> HttpResponseBase:
    """Take what an assistant's message brings, and follow its run on from where the client has it."""
    actor = actor_of(request)
    conversation = conversations.of_client(chat_id, by=actor)
    run = continuing.find(conversation, brought.run_id) if conversation else None
    wishes.decide(request, brought.wishes)
    if run is None and brought.wishes:
        return of_another(brought, sdk=sdk, by=actor)
    if run is None:
        raise NothingToGoOnWith
    seen = run.seq if brought.cursor is None else brought.cursor
    continuing.bring(run, brought.results, by=actor)
    encode = Encoder(
        sdk=sdk, run=about(run), said="".join(brought.text), calls=brought.calls, outputs=continuing.outputs(run)
    )
    waits_for, first = continuing.waits_for(run), encode.start()
    for wish in brought.wishes:
        if event := waits_for.get(str(wish.approval_id)):
            why = approvals.may_decide(approvals.visible(wish.approval_id, by=actor), actor)
            first += encode.pending(event, why or STILL_PENDING)
    return respond(encode, follow(str(run.pk), after=seen, wait=wait), first)


def of_another(brought: Brought, *, sdk: int, by: Actor) -> HttpResponseBase:
    """What became of requests that stand in a chat of somebody else, whose answer is theirs; raises UnknownApproval."""
    encode = Encoder(sdk=sdk, run={}, calls=brought.calls)
    found = [approvals.visible(approval_id, by=by) for approval_id in brought.asked]
    frames = to_sse({"type": "start", "messageId": brought.message_id})
    if not any(one.status == ApprovalStatus.PENDING for one in found):
        frames += to_sse(*EMPTY_STEP)  # before what follows, as at the end of a run
    for one in found:
        if one.status == ApprovalStatus.PENDING:
            asks = actions.Asked(one.pk, brought.asked[one.pk], one.tool, one.risk, one.expires_at)
            frames += encode.pending(asks.event, approvals.may_decide(one, by) or STILL_PENDING)
        else:
            frames += encode.past([structs.replace(verdicts.told(one), decision=one.status)])
    response = HttpResponse(frames + encode.finish(), content_type=EVENT_STREAM)
    response[HEADER] = "v1"
    return response


def respond(encode: Encoder, batches: AsyncGenerator[list[Numbered]], first: bytes) -> HttpResponseBase:
    """The stream's response; it ends with its last chunk, also where the run goes on."""
    response = stream.sse(stream.until(batches, lambda: encode.over), encode, first=first, fault=FAULT)
    response[HEADER] = "v1"
    return response


def about(run: Run) -> dict[str, str]:
    """What the reader is told of the run."""
    return {
        "runId": str(run.pk),
        "sessionId": str(run.conversation_id),
        "companion": run.companion_type,
        "provider": run.provider,
        "model": run.model,
    }
