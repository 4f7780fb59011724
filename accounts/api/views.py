"""Signing in, staying signed in, and tickets for WebSockets."""

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import authentication, limits, lockout
from accounts.api.serializers import LoginSerializer, RefreshSerializer, TicketSerializer, TokensSerializer
from accounts.services import login
from core.schema import BODY, GUARDED, problems

_REFUSALS = {
    401: "`login_failed`: the address, the password or the code is wrong. `mfa_required`: send a `code` too.",
    403: "`mfa_setup_required`: the workspace asks for a second factor. `passwords_off`: sign in at the provider.",
    429: "`rate_limited`, or `sign_in_locked` after too many failures from one address.",
}


class LoginView(APIView):
    """`POST /v1/auth/login`."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()

    @extend_schema(
        request=LoginSerializer,
        responses={
            200: TokensSerializer,
            **problems(400, *BODY, 403, 429, 503, told=_REFUSALS),
        },
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Exchange an e-mail address and a password, and a code where the account asks for one, for tokens."""
        lockout.count_address(request._request)
        given = LoginSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        email = given.validated_data["email"]
        lockout.check(request._request, email)  # first: who is locked out uses up no try of the person's
        lockout.count_account(request._request, email)
        try:
            tokens = login.sign_in(**given.validated_data)
        except (login.LoginFailed, login.SuperusersOnly):
            lockout.failed(request._request, email)
            raise
        lockout.passed(request._request, tokens.actor.user)
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
        who = f"refresh:{limits.address(request._request)}"
        limits.guard("login", limit=settings.LIMITS["login"] * 10, who=who, fail_closed=True, request=request._request)
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
        actor, token = authentication.actor_of(request), str(request.auth or "")
        session_key = None if token else request._request.session.session_key  # `signedin` has no token
        ticket = authentication.issue_ticket(actor, token=token, session_key=session_key)
        return Response({"ticket": ticket, "expires_in": authentication.TICKET_SECONDS})


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
