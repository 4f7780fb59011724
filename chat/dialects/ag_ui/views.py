"""AG-UI's one door: a RunAgentInput in, what the thread's run does out."""

from collections.abc import AsyncGenerator, Collection, Iterable
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import idempotency
from accounts.authentication import actor_of
from accounts.models import Actor
from agents.events import ApprovalRequested, RunCompleted, RunWaiting
from approvals.models import ApprovalStatus
from approvals.services import approvals
from chat import stream
from chat.dialects import responding, wishes
from chat.dialects.ag_ui import inbound, schema, threads
from chat.dialects.ag_ui.encoder import Encoder, error_frame
from chat.dialects.ag_ui.inbound import Heard, RunAgentInput
from chat.following import Numbered, follow
from chat.models import Conversation, Run
from chat.services import actions, client_tools, runs
from chat.services.resuming import Wish
from core.errors import Invalid
from core.negotiation import AnyAccept

EVENT_STREAM = "text/event-stream; charset=utf-8"
PENDING = ApprovalStatus.PENDING
FAULT = error_frame("internal_error", "The stream broke off by a fault of ours; run the agent again.")


class AgentView(APIView):
    """POST /api/ag-ui/{agent}."""

    scope = "chat"
    limit_bucket = "chat"
    body_limit = settings.BODY_LIMIT_IMAGES
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="ag_ui_run",
        request=RunAgentInput,
        responses=schema.RUN,
        examples=schema.EXAMPLES,
        tags=["ag-ui"],
    )
    def post(self, request: Request, agent: str) -> HttpResponseBase:
        """Run a companion or an agent: say something new, go on with what waits, or be told again."""
        heard, actor = inbound.read(request.data), actor_of(request)
        thread = threads.find(heard.thread_id, agent, by=actor)
        return Exchange(request, actor, heard, thread).respond()


class Exchange:
    """One request in a thread, and what the thread's run waits for when it comes."""

    def __init__(self, request: Request, actor: Actor, heard: Heard, thread: Conversation) -> None:
        self.request, self.actor, self.heard, self.thread = request, actor, heard, thread
        self.run = threads.last_run(thread)
        waits = self.run is not None and self.run.waits
        self.asked = actions.asked(self.run.pk) if self.run and waits else []
        self.called = [one.call_id for one in actions.called(self.run.pk)] if self.run and waits else []

    def respond(self) -> HttpResponseBase:
        """Do what the request says to the run that waits, then begin a new one or follow that."""
        heard, run = self.heard, self.run
        if run is None and heard.answers:
            return self._decide_elsewhere()
        open_ = [one.approval_id for one in self.asked]
        wished, results = heard.wishes(open_), heard.results(self.called)
        if not heard.is_new(run):
            if run is None:
                raise Invalid.field("messages", "Nothing is said: the last message must be a user's.", "required")
            return self._go_on(run, open_, wished, results)
        if run is not None:
            self._bring(run, open_, wished, results)
        assert heard.said is not None, "something new was said"
        return responding.respond(self.request, heard.said, lambda: self.thread, self._serve, wait=heard.wait)

    def _go_on(
        self, run: Run, open_: list[UUID], wished: list[Wish], results: list[client_tools.Result]
    ) -> HttpResponseBase:
        """Follow the thread's run: from where it waited, if it did, else from its beginning."""
        with idempotency.claimed(self.request) as claim:
            replayed = isinstance(claim, idempotency.Replay)
            if isinstance(claim, idempotency.Replay):
                run = runs.get(claim.response["run_id"], by=self.actor)
            else:
                self._bring(run, open_, wished, results)
                if claim:
                    idempotency.complete(claim, 200, {"run_id": str(run.pk)})
        after = run.seq if run.waits and not replayed else 0
        brought = {one.call_id for one in results} if after else set()
        known = [one.event for one in self.asked] if after else []
        response = self._serve(run, follow(str(run.pk), after=after, wait=self.heard.wait), brought, known)
        if replayed:
            response["Idempotency-Replayed"] = "true"
        return response

    def _bring(self, run: Run, open_: list[UUID], wished: list[Wish], results: list[client_tools.Result]) -> None:
        """Tell the run that waits what its person gives up, wishes, and brings."""
        if self.heard.cancels(open_):
            runs.cancel(run, by=self.actor)
            return
        wishes.decide(self.request, wished)
        if results:
            client_tools.answer(run.pk, results, by=self.actor)

    def _decide_elsewhere(self) -> HttpResponseBase:
        """Decide as the person wishes where they answer for somebody else's thread, whose answer they are not shown.

        Raises UnknownApproval for an interrupt of which they may not know.
        """
        rows = [approvals.visible(one, by=self.actor) for one in self.heard.named()]
        wishes.decide(self.request, self.heard.wishes([row.pk for row in rows]))
        left = [row for row in (approvals.visible(one.pk, by=self.actor) for one in rows) if row.status == PENDING]
        asks = [actions.Asked(row.pk, row.call_id, row.tool, row.risk, row.expires_at).event for row in left]
        encode = Encoder(
            thread_id=self.heard.thread_id, run_id=self.heard.run_id, declared=self.heard.declared, asked=asks
        )
        end = RunWaiting([one.approval_id for one in asks], "") if asks else RunCompleted("", "")
        return HttpResponse(encode.begin() + encode.sse(0, end), content_type=EVENT_STREAM)

    def _serve(
        self,
        run: Run,
        batches: AsyncGenerator[list[Numbered]],
        brought: Collection[str] = (),
        known: Iterable[ApprovalRequested] = (),
    ) -> HttpResponseBase:
        """The run's events as SSE."""
        encode = Encoder(
            thread_id=self.heard.thread_id,
            run_id=self.heard.run_id,
            run=str(run.pk),
            session_id=str(run.conversation_id),
            declared=self.heard.declared,
            messages=self.heard.messages,
            brought=brought,
            asked=known,
        )
        return stream.sse(batches, encode, first=encode.begin(), fault=FAULT)
