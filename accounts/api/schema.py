"""How the OpenAPI schema tells of authentication: both kinds of token are an HTTP bearer."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """API keys."""

    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """The security scheme."""
        return {"type": "http", "scheme": "bearer", "description": "An API key: `sk_live_cs_…`."}


class JwtScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """JSON web tokens."""

    target_class = "accounts.authentication.JwtAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """The security scheme."""
        told = "The `access` token of `POST /v1/auth/login`."
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": told}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session of our own pages, of which clients of the API are told nothing."""

    target_class = "accounts.signedin.SessionAuthentication"
    name: list[str] = []

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        """None: nobody is asked for it."""
        return []

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        """No security schemes."""
        return []
