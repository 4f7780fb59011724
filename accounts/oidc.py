"""An identity provider of one's own, by OpenID Connect, on top of django-allauth's flow.

What is stricter here: the ID token's signature is always verified, by a key of the provider and an algorithm that we
name, as are its issuer, audience and nonce; an address counts as verified only where the claim is `true`; and what the
browser adds to the way there changes nothing.
"""

import asyncio
import hashlib
import json
import logging
import secrets
from ipaddress import ip_network
from typing import Any

import jwt
import requests
from allauth.account.internal.decorators import login_not_required
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialApp, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from accounts import limits
from core import guarded

log = logging.getLogger(__name__)

MOST_BYTES = 1_000_000
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_SECONDS = 60  # that clocks may differ
TRIES = 10  # times those of an account: a whole office may stand behind one address, and each sign-in asks twice
ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""Where the provider may be: the operator chose it."""
DESCRIPTION = "/.well-known/openid-configuration"
NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
KEPT = ("sub", "email", "name")
"""What the account's row keeps of the claims; the rest serves this one sign-in."""
CLAIMS = "claims"
"""Where the state of a sign-in has the claims that it is still about when a second factor was asked for."""
MFA = frozenset({"mfa", "otp", "hwk", "swk", "fpt", "face", "sms"})
"""Values of `amr` (RFC 8176) that tell of a second factor at the provider."""


class Session(requests.Session):
    """How the provider is asked: one clock runs over all of a request, and answers are small."""

    def request(self, method: Any, url: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """The answer, read to its end; raises RequestException."""
        given = {name: kwargs.get(name) for name in ("params", "data", "headers", "auth")}
        asked = requests.Request(method, url, **given).prepare()
        body: Any = asked.body  # a form, or nothing
        told = guarded.request(
            str(asked.method),
            str(asked.url),
            headers={str(name): str(value) for name, value in asked.headers.items()},
            content=body.encode() if isinstance(body, str) else body,
            seconds=settings.SOCIALACCOUNT_REQUESTS_TIMEOUT,
            most_bytes=MOST_BYTES,
            private=ANYWHERE,
        )
        try:
            answer = asyncio.run(told)
        except (guarded.Unreachable, guarded.UrlRefused) as error:
            raise requests.ConnectionError(error.detail) from None
        if not answer.whole:
            raise requests.exceptions.ContentDecodingError("the answer is too large")
        response = requests.Response()
        response.status_code, response._content, response.url = answer.status, answer.body, answer.url
        response.headers.update(answer.headers)
        return response


def described() -> dict[str, Any]:
    """The provider's own description; raises OAuth2Error where it is not to be had, or is another's."""
    found = fetched(settings.OIDC_ISSUER + DESCRIPTION)
    if missing := [name for name in NEEDED if not isinstance(found.get(name), str)]:
        raise OAuth2Error(f"the provider's configuration lacks {', '.join(missing)}")
    if found["issuer"].rstrip("/") != settings.OIDC_ISSUER:
        raise OAuth2Error("the provider's configuration names another issuer")
    return found


def fetched(url: str, **kwargs: Any) -> dict[str, Any]:
    """An object of JSON that the provider serves; raises OAuth2Error where it does not."""
    try:
        with Session() as session:
            response = session.get(url, **kwargs)
        found = json.loads(response.content) if response.status_code == 200 else None
    except (requests.RequestException, ValueError) as error:
        raise OAuth2Error(f"the provider does not answer: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise OAuth2Error(f"the provider answered {response.status_code}")
    return found


class Adapter(OpenIDConnectOAuth2Adapter):
    """What is asked of the provider, and what is believed."""

    def __init__(self, request: HttpRequest, provider_id: str) -> None:
        super().__init__(request, provider_id)
        self.state: dict[str, Any] = {}  # with which this browser set out

    @property
    def openid_config(self) -> dict[str, Any]:
        """As `described`, asked once; raises OAuth2Error."""
        if not hasattr(self, "_openid_config"):
            self._openid_config: dict[str, Any] = described()
        return self._openid_config

    def get_access_token_data(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The tokens for the code; raises OAuth2Error."""
        try:
            return super().get_access_token_data(request, *args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OAuth2Error("the provider's tokens cannot be read") from error

    def parse_token(self, data: Any) -> SocialToken:
        """The token, which is kept nowhere."""
        return SocialToken(token=str(data["access_token"]))

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """The sign-in of whom the ID token names; raises OAuth2Error."""
        id_token = kwargs["response"].get("id_token")
        found = self._verified(app, id_token) if isinstance(id_token, str) else {}
        if not isinstance(found.get("sub"), str) or not found["sub"]:
            raise OAuth2Error("the provider sent no ID token")
        wanted = ("email", settings.OIDC_GROUPS_CLAIM) if settings.OIDC_ROLES else ("email",)
        if not all(name in found for name in wanted) and self.openid_config.get("userinfo_endpoint"):
            more = fetched(self.profile_url, headers={"Authorization": f"Bearer {token.token}"})
            if more.get("sub") != found["sub"]:
                raise OAuth2Error("the user info is another person's")
            found = {**more, **found}
        # The state goes on with the sign-in, over the page that asks for a second factor too.
        self.state[CLAIMS] = {name: found[name] for name in (settings.OIDC_GROUPS_CLAIM, "amr") if name in found}
        return self.get_provider().sociallogin_from_response(request, found)

    def _verified(self, app: Any, id_token: str) -> dict[str, Any]:
        keys = fetched(self.openid_config["jwks_uri"])
        try:
            kid = jwt.get_unverified_header(id_token).get("kid")
            known = [key for key in jwt.PyJWKSet.from_dict(keys).keys if kid in (None, key.key_id)]
            if len(known) != 1:
                raise OAuth2Error("the ID token is signed by no key of the provider")
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key=known[0],
                algorithms=ALGORITHMS,
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise OAuth2Error(f"the ID token does not hold: {type(error).__name__}") from error
        if claims.get("azp", app.client_id) != app.client_id:
            raise OAuth2Error("the ID token is for another client")
        nonce = self.state.get("nonce", "")
        if not nonce or not constant_time_compare(str(claims.get("nonce", "")), nonce):
            raise OAuth2Error("the ID token was not asked for here")
        return claims


class Provider(OpenIDConnectProvider):
    """The provider of the settings."""

    oauth2_adapter_class = Adapter

    def redirect_from_request(self, request: HttpRequest) -> HttpResponse:
        """The way to the provider, to sign in and for nothing else; `next` is all that the browser says."""
        following = self.get_redirect_from_request_kwargs(request).get("next_url")
        nonce = secrets.token_urlsafe(24)
        params = {"nonce": nonce}
        found: HttpResponse = self.redirect(
            request, process="login", next_url=following, auth_params=params, nonce=nonce
        )
        return found

    def get_default_scope(self) -> list[str]:
        """What is asked for."""
        return list(settings.OIDC_SCOPES)

    def extract_uid(self, data: dict[str, Any]) -> str:
        """The person's id: that of the provider counts at this provider alone."""
        return hashlib.sha256(f"{settings.OIDC_ISSUER}\n{data['sub']}".encode(errors="surrogatepass")).hexdigest()

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """What is kept."""
        return {name: data[name] for name in KEPT if isinstance(data.get(name), str)}

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        """What a new account begins with."""
        return {name: data[name] for name in ("email", "name") if isinstance(data.get(name), str)}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[EmailAddress]:
        """The address; verified where the claim is true, and not where it is a text that says so."""
        email = data.get("email")
        if not isinstance(email, str) or not email:
            return []
        verified = data.get(settings.OIDC_VERIFIED_CLAIM) is True
        return [EmailAddress(email=email.lower(), verified=verified, primary=True)]


class Callback(OAuth2CallbackView):
    """The way back, with the state that this browser set out with."""

    def _get_state(self, request: HttpRequest, provider: Any) -> Any:
        state, response = super()._get_state(request, provider)
        if state:
            self.adapter.state = state
        return state, response


def claims(sociallogin: Any) -> dict[str, Any]:
    """What the provider said at this sign-in of groups, and of how it asked."""
    found: dict[str, Any] = sociallogin.state.get(CLAIMS, {})
    return found


def had_second_factor(sociallogin: Any) -> bool:
    """Whether the provider says that it asked for a second factor."""
    methods = claims(sociallogin).get("amr")
    return isinstance(methods, list) and not MFA.isdisjoint(one for one in methods if isinstance(one, str))


def log_failure(error: object, exception: BaseException | None) -> None:
    """Say in the log why it failed; the exception's texts are ours and hold nothing of the tokens."""
    ours = isinstance(exception, OAuth2Error) and not str(exception).startswith("Error retrieving")
    reason = str(exception) if ours else type(exception).__name__
    log.warning("sign-in at the identity provider failed", extra={"error": str(error), "reason": reason})


@login_not_required
def begin(request: HttpRequest, provider_id: str) -> Any:
    """The page that leads to the provider; raises Http404 where there is none, and RateLimited."""
    return _served(OAuth2LoginView, request, provider_id)


@login_not_required
def come_back(request: HttpRequest, provider_id: str) -> Any:
    """Where the provider sends people back to; raises Http404 where there is none, and RateLimited."""
    return _served(Callback, request, provider_id)


def _served(view: Any, request: HttpRequest, provider_id: str) -> Any:
    adapter = Adapter(request, provider_id)
    try:
        provider = get_adapter().get_provider(request, provider_id)
    except SocialApp.DoesNotExist:
        raise Http404 from None
    who = f"oidc:{limits.address(request)}"
    limits.guard("login", limit=settings.LIMITS["login"] * TRIES, who=who, fail_closed=True, request=request)
    try:
        return view.adapter_view(adapter)(request)
    except OAuth2Error as error:
        return render_authentication_error(request, provider, exception=error, extra_context={"state": adapter.state})
