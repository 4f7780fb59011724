"""What OpenAPI says of approvals beyond their serializers: examples, and how a decision is refused."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from approvals.api.serializers import ApprovalDetail, DecisionIn
from core.schema import BODY, GUARDED, problems

MARA = {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "name": "Mara"}
NOOR = {"id": "01890a5d-ac96-774b-bcce-b302099a8058", "name": "Noor"}
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ROW: dict[str, Any] = {
    "id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a01",
    "status": "pending",
    "tool": "service_restart",
    "risk": "destructive",
    "agent": "devops",
    "companion": "devops",
    "summary": "Restart the service billing.",
    "requested_by": MARA,
    "session_id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a02",
    "run_id": "01932f3a-7c5e-7d11-9a60-3c1f0d6b7a03",
    "call_id": "call_1",
    "created_at": "2026-01-05T09:00:00Z",
    "expires_at": "2026-01-06T09:00:00Z",
    "decision": None,
    "decided_by": None,
    "decided_at": None,
    "reason": "",
    "deciders": [],
    "edited": None,
}
DETAIL: dict[str, Any] = {
    **ROW,
    "tool_version": "c1f0d6b7",
    "arguments": {"service": "billing"},
    "proposed_arguments": None,
    "digest": DIGEST,
    "version": 1,
    "preview": {"sentence": "Restart the service billing.", "recipients": [], "details": {"state": "running"}},
    "policy": {"name": "Restarts", "version": 4},
    "quorum": {"approve": 1, "reject": 1},
    "editable": True,
    "may_remember": False,
    "fresh_password": False,
    "digest_required": False,
    "escalates_at": None,
    "escalated_at": None,
    "valid_until": None,
    "response": "",
    "break_glass": False,
    "decisions": [],
    "may_decide": True,
    "why_not": None,
}
DECIDED = {
    **DETAIL,
    "status": "approved",
    "decision": "approve",
    "decided_by": NOOR,
    "deciders": [NOOR],
    "decided_at": "2026-01-05T09:02:00Z",
    "valid_until": "2026-01-05T10:02:00Z",
    "decisions": [
        {
            "person": NOOR,
            "decision": "approve",
            "reason": "",
            "digest": DIGEST,
            "at": "2026-01-05T09:02:00Z",
            "void": False,
        }
    ],
    "may_decide": False,
    "why_not": "already_decided",
}

LIST_EXAMPLE = OpenApiExample(
    "Pending", response_only=True, value={"approvals": [ROW], "total": 1, "limit": 20, "offset": 0}
)
DETAIL_EXAMPLE = OpenApiExample("Pending", response_only=True, status_codes=["200"], value=DETAIL)
BULK_EXAMPLE = OpenApiExample(
    "Reject two", request_only=True, value={"ids": [ROW["id"], ROW["run_id"]], "decision": "reject", "reason": "No."}
)

DECIDE: dict[str, Any] = {
    "request": DecisionIn,
    "responses": {
        200: ApprovalDetail,
        **problems(
            *GUARDED,
            *BODY,
            404,
            503,
            told={
                403: "`requester`, `role_required`, `tier_required`, `scope_required`, `key_of_another`, "
                "`fresh_password_required`, `edit_not_allowed` or `remember_not_allowed`.",
                409: "`already_decided` or `expired`, with the standing decision as `approval`; `digest_mismatch`; "
                "`already_voted`; `superseded` where the tool, or where it reaches, was changed since it was asked.",
            },
        ),
    },
    "examples": [
        OpenApiExample("Approve what was shown", request_only=True, value={"decision": "approve", "digest": DIGEST}),
        OpenApiExample("Reject", request_only=True, value={"decision": "reject", "reason": "Not during the sale."}),
        OpenApiExample(
            "Edit", request_only=True, value={"decision": "approve", "arguments": {"service": "billing-test"}}
        ),
        OpenApiExample(
            "Respond instead", request_only=True, value={"decision": "respond", "response": "It was restarted by hand."}
        ),
        OpenApiExample("Approved", response_only=True, status_codes=["200"], value=DECIDED),
    ],
    "tags": ["approvals"],
}
