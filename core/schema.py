"""How the OpenAPI schema tells of refusals: one component, and what each status means."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from core.problems import CONTENT_TYPE

GUARDED = (400, 401, 403, 429)
"""The statuses with which every route that asks for a credential may refuse."""
BODY = (413, 415)
"""And those of a route that reads a body."""
_MEANING = {
    400: "Something does not fit; `errors` names the fields.",
    401: "No valid key or token.",
    403: "Not permitted to this caller.",
    404: "No such thing for this caller.",
    409: "It cannot be done in the state that things are in.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "Something that the answer needs does not answer now.",
}


class FaultOut(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField(help_text="A dotted path; empty: the whole body.")
    code = serializers.CharField()
    message = serializers.CharField()


@extend_schema_serializer(component_name="Problem")
class ProblemOut(serializers.Serializer[Any]):
    """RFC 9457, with a code for programs and the fields at fault; some problems have members of their own."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField()
    errors = FaultOut(many=True)  # type: ignore[assignment]  # the name is RFC 9457's usage, not DRF's property


def problems(*statuses: int, told: Mapping[int, str] | None = None) -> dict[tuple[int, str], OpenApiResponse]:
    """The responses of refusals with these statuses, and with those that `told` has other words for."""
    meaning = {status: _MEANING[status] for status in statuses} | dict(told or {})
    return {(status, CONTENT_TYPE): OpenApiResponse(ProblemOut, text) for status, text in sorted(meaning.items())}
