"""Signing in, staying signed in, and tickets for WebSockets."""

import hashlib

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import authentication, limits
from accounts.api.serializers import LoginSerializer, RefreshSerializer, TicketSerializer, TokensSerializer
from accounts.models import Actor
from accounts.services import login
from core.schema import BODY, GUARDED, problems

# One address may stand for a whole office, so it may try more often than one account can be tried.
TRIES_OF_AN_ADDRESS = 3


class LoginView(APIView):
    """`POST /v1/auth/login`."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(
        request=LoginSerializer,
        responses={
            200: TokensSerializer,
            **problems(400, *BODY, 429, 503, told={401: "`login_failed`: the address or the password is wrong."}),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Exchange an e-mail address and a password for tokens."""
        _guard(request, f"ip:{limits.address(request._request)}", settings.LIMITS["login"] * TRIES_OF_AN_ADDRESS)
        given = LoginSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        email = given.validated_data["email"]
        account = hashlib.sha256(email.strip().lower().encode()).hexdigest()
        _guard(request, f"account:{account}", settings.LIMITS["login"])
        tokens = login.sign_in(email, given.validated_data["password"], workspace=given.validated_data["workspace"])
        return Response(_told(tokens))


class RefreshView(APIView):
    """`POST /v1/auth/refresh`."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(
        request=RefreshSerializer,
        responses={
            200: TokensSerializer,
            **problems(400, *BODY, 429, 503, told={401: "`invalid_token`: it was used, or has expired."}),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair; it is used up."""
        _guard(request, f"refresh:{limits.address(request._request)}", settings.LIMITS["login"] * 10)
        given = RefreshSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(_told(login.renew(given.validated_data["refresh"])))


class TicketView(APIView):
    """`POST /v1/auth/ticket`."""

    limit_bucket = "write"
    scope = "chat"

    @extend_schema(request=None, responses={200: TicketSerializer, **problems(*GUARDED, 503)})
    def post(self, request: Request) -> Response:
        """A ticket that opens one WebSocket within 30 seconds, for clients that cannot send a header."""
        actor = request.user
        assert isinstance(actor, Actor)  # HasWorkspace saw to it
        ticket = authentication.issue_ticket(actor)
        return Response({"ticket": ticket, "expires_in": authentication.TICKET_SECONDS})


def _guard(request: Request, who: str, limit: int) -> None:
    limits.guard("login", limit=limit, who=who, fail_closed=True, request=request._request)


def _told(tokens: login.Tokens) -> dict[str, object]:
    actor = tokens.actor
    user = {"id": actor.user.pk, "email": actor.user.email, "name": actor.user.name, "role": actor.role}
    return TokensSerializer(
        {
            "access": tokens.access,
            "refresh": tokens.refresh,
            "expires_in": tokens.expires_in,
            "workspace_id": actor.workspace.pk,
            "user": user,
        }
    ).data
