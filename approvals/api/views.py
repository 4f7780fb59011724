"""Doors to approvals, below /v1/ai/: the list, one with everything to decide by, and the decision."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import idempotency
from accounts.authentication import actor_of
from accounts.models import Actor
from accounts.services import login
from approvals.api.schema import BULK_EXAMPLE, DECIDE, DETAIL_EXAMPLE, LIST_EXAMPLE
from approvals.api.serializers import (
    ApprovalDetail,
    ApprovalOut,
    ApprovalPage,
    ApprovalsQuery,
    BulkIn,
    BulkOut,
    DecisionIn,
)
from approvals.models import Approval, Decision
from approvals.services import approvals
from core.schema import BODY, GUARDED, problems
from core.serializers import QuerySerializer


class _Deciding(APIView):
    """Decisions are counted for themselves, and refused where they cannot be counted."""

    scope = "approvals"

    @property
    def limit_bucket(self) -> str:
        """`read` or `decide`."""
        return "read" if self.request.method in SAFE_METHODS else "decide"

    @property
    def limit_fail_closed(self) -> bool:
        """Whether the request is one that must be counted."""
        return self.limit_bucket == "decide"


class ApprovalsView(APIView):
    """GET /v1/ai/approvals."""

    scope = "approvals"
    limit_bucket = "read"

    @extend_schema(
        parameters=[ApprovalsQuery],
        responses={200: ApprovalPage, **problems(*GUARDED)},
        examples=[LIST_EXAMPLE],
        operation_id="ai_approvals_list",
        tags=["approvals"],
    )
    def get(self, request: Request) -> Response:
        """Requests to countersign: the pending ones, most urgent first, or those of another status, newest first."""
        query = ApprovalsQuery.read(request.query_params)
        page = approvals.page(by=actor_of(request), **query)
        rows = ApprovalOut(page.rows, many=True).data
        return Response({"approvals": rows, "total": page.total, "limit": query["limit"], "offset": query["offset"]})


class ApprovalView(_Deciding):
    """/v1/ai/approvals/{id}."""

    @extend_schema(
        responses={200: ApprovalDetail, **problems(*GUARDED, 404)}, examples=[DETAIL_EXAMPLE], tags=["approvals"]
    )
    def get(self, request: Request, approval_id: UUID) -> Response:
        """One request with exactly what would run, who said what to it, and whether the caller may decide."""
        QuerySerializer.read(request.query_params)
        actor = actor_of(request)
        return Response(detail(approvals.visible(approval_id, by=actor), actor))

    @extend_schema(**DECIDE)
    @idempotency.idempotent
    def post(self, request: Request, approval_id: UUID) -> HttpResponseBase:
        """Approve, reject, or respond in place of the tool; the answer is the request as it is then."""
        return decide(request, approval_id)

    @extend_schema(**DECIDE)
    @idempotency.idempotent
    def put(self, request: Request, approval_id: UUID) -> HttpResponseBase:
        """The same as POST."""
        return decide(request, approval_id)

    @extend_schema(**DECIDE)
    @idempotency.idempotent
    def patch(self, request: Request, approval_id: UUID) -> HttpResponseBase:
        """The same as POST."""
        return decide(request, approval_id)


class BulkView(_Deciding):
    """POST /v1/ai/approvals/bulk."""

    @extend_schema(
        request=BulkIn,
        responses={207: OpenApiResponse(BulkOut, "What became of each."), **problems(*GUARDED, *BODY, 409, 503)},
        examples=[BULK_EXAMPLE],
        tags=["approvals"],
    )
    @idempotency.idempotent
    def post(self, request: Request) -> HttpResponseBase:
        """Approve or reject several requests for one tool, each for itself."""
        body = BulkIn.read(request.data)
        results = approvals.decide_many(
            body["ids"], by=actor_of(request), decision=Decision(body["decision"]), reason=body["reason"]
        )
        return Response({"results": [told(result) for result in results]}, status=HTTPStatus.MULTI_STATUS)


def decide(request: Request, approval_id: UUID) -> Response:
    """Cast the body's ballot; the answer is kept for the `Idempotency-Key` in the decision's own transaction."""
    actor = actor_of(request)
    body = DecisionIn.read(request.data)
    answer: dict[str, Any] = {}

    def keep(approval: Approval) -> None:
        answer.update(detail(approval, actor))
        if claim := getattr(request, "claim", None):
            idempotency.complete(claim, HTTPStatus.OK, answer)

    approvals.decide(approval_id, by=actor, fresh=login.is_fresh(str(request.auth)), also=keep, **body)
    return Response(answer)


def detail(approval: Approval, actor: Actor) -> dict[str, Any]:
    """A request as this caller sees it."""
    why_not = approvals.may_decide(approval, actor)
    return dict(ApprovalDetail(approval, context={"why_not": why_not}).data)


def told(result: approvals.Result) -> dict[str, Any]:
    """One of several as the answer has it."""
    error = result.error
    return {
        "id": str(result.approval_id),
        "status": error.status if error else HTTPStatus.OK.value,
        "approval": ApprovalOut(result.approval).data if result.approval else None,
        "error": {"code": error.code, "title": error.title, "detail": error.detail} if error else None,
    }
