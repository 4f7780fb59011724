"""The OpenAI-compatible dialect's routes: chat completions and models."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import actor_of
from accounts.models import Actor
from agents.events import Usage
from chat import stream
from chat.dialects import ends, responding, waiting
from chat.dialects.openai import inbound, schema
from chat.dialects.openai.encoder import FAULT, About, Answer, Encoder
from chat.dialects.openai.inbound import Asked
from chat.dialects.openai.serializers import CompletionRequest, OpenAIModel, OpenAIModels
from chat.following import Numbered, follow
from chat.models import Conversation, Run
from chat.services import client_tools, conversations, counterparts, quoting, remote_images
from chat.services.counterparts import Counterpart
from chat.services.saying import Said
from chat.stream import Fold
from core import ids
from core.negotiation import AnyAccept


class CompletionsView(APIView):
    """POST /v1/chat/completions."""

    scope = "chat"
    limit_bucket = "chat"
    body_limit = settings.BODY_LIMIT_IMAGES
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="openai_chat_completions",
        request=CompletionRequest,
        parameters=[schema.SESSION, schema.WAIT],
        responses=schema.COMPLETION,
        examples=schema.COMPLETION_EXAMPLES,
        tags=["openai"],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Answer the last message of a conversation, as one body or as a stream of chunks."""
        body = CompletionRequest.read(request.data)
        asked, actor = inbound.read(body, request.headers.get("X-Session-Id")), actor_of(request)
        serving, wait = Serving(body), waiting.seconds(request)
        if results := asked.results:
            calls = [one.call_id for one in results]
            run = client_tools.awaiting(calls, by=actor, session_id=asked.session_id)
            if run is not None:
                client_tools.answer(run.pk, results, by=actor)
                return serving.go_on(run, wait)
        said = said_of(asked, body["model"])
        return responding.respond(request, said, partial(find, actor, asked, body["model"]), serving, wait=wait)


class ModelsView(APIView):
    """GET /v1/models."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="openai_models_list",
        responses={200: OpenAIModels, **schema.errors(401, 403, 429)},
        examples=[schema.MODELS_EXAMPLE],
        tags=["openai"],
    )
    def get(self, request: Request) -> Response:
        """Whom the key may talk to: companions, agents, teams, and the models of providers that answer."""
        return Response({"object": "list", "data": [shown(one) for one in counterparts.names(actor_of(request))]})


class ModelView(APIView):
    """GET /v1/models/{id}."""

    scope = "chat"
    limit_bucket = "read"
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="openai_models_retrieve",
        responses={200: OpenAIModel, **schema.errors(401, 403, 404, 429)},
        examples=[schema.MODEL_EXAMPLE],
        tags=["openai"],
    )
    def get(self, request: Request, model: str) -> Response:
        """One of them, by a name that may have a slash in it."""
        return Response(shown(counterparts.find(actor_of(request), model)))


def shown(one: Counterpart) -> dict[str, Any]:
    """Somebody to talk to, as a model."""
    return {"id": one.name, "object": "model", "created": int(one.since.timestamp()), "owned_by": one.owner}


def said_of(asked: Asked, model: str) -> Said:
    """The message to answer, with what the client quotes of the conversation; raises Invalid."""
    message, quotation = quoting.read(
        remote_images.fetched(asked.lines),
        system=asked.system,
        tools=[one["name"] for one in asked.tools],
        most_tokens=asked.most_tokens,
        options=asked.options,
    )
    return Said(
        text=message.text,
        model=counterparts.model(model),
        metadata=asked.metadata,
        attachments=message.images,
        tools=asked.tools,
        quotation=quotation,
    )


def find(actor: Actor, asked: Asked, model: str) -> Conversation:
    """The session that the request names, else a conversation of its own; raises DomainError."""
    if asked.session_id is None:
        return counterparts.begin(actor, model)
    conversation = conversations.get(asked.session_id, by=actor)
    counterparts.go_on(conversation, model)
    return conversation


class Serving:
    """Makes the response of a run's events, as the body asks for it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._model = body["model"]
        self._streams = bool(body["stream"])
        self._usage = bool((body.get("stream_options") or {}).get("include_usage"))

    def __call__(self, run: Run, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
        """The response of a run from its beginning."""
        return self._serve(run, self._about(run), batches)

    def go_on(self, run: Run, wait: float) -> HttpResponseBase:
        """The response of what comes in a run after it waited, where its client has been told all before."""
        used = Usage(**run.usage) if run.usage else None
        about = self._about(run, turn=f"-{run.steps}", said=run.said, used=used)
        return self._serve(run, about, follow(str(run.pk), after=run.seq, wait=wait))

    def _about(self, run: Run, *, turn: str = "", **told: Any) -> About:
        metadata = {"session_id": str(run.conversation_id), "run_id": str(run.pk)}
        name = f"chatcmpl-{run.pk.hex}{turn}"
        return About(id=name, created=ids.made_at(run.pk), model=self._model, metadata=metadata, **told)

    def _serve(self, run: Run, about: About, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
        response: HttpResponseBase
        if self._streams:
            encoder = Encoder(about, usage=self._usage)
            told = stream.until(batches, lambda: encoder.over)
            response = stream.sse(told, encoder, first=encoder.first(), fault=FAULT)
        else:
            response = whole(run, Answer(about), batches)
        response["X-Session-Id"] = str(run.conversation_id)
        return response


def whole(run: Run, answer: Answer, batches: AsyncGenerator[list[Numbered]]) -> HttpResponseBase:
    """The run's end as one body, and the approvals that it waits for in a header."""

    async def heard() -> AsyncGenerator[list[Numbered]]:
        async with aclosing(batches):
            async for batch in batches:
                for _, event in batch:
                    answer.step(event)
                yield batch

    async def render(fold: Fold) -> tuple[int, Any]:
        ends.of(fold, run)
        if answer.approvals:
            response["X-Countersign-Approval"] = ",".join(answer.approvals)
        return 200, answer.body()

    response = stream.answer(heard(), render)
    return response
