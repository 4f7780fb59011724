"""Signing in at an identity provider as a browser does: there, and back with what it says of the person."""

from typing import Any

import httpx
from django.test import Client

from accounts.models import User
from approvals.models import AuditEvent

GUEST = "guest@acme.example"
BEGIN = "/account/oidc/sso/login/"
FAILED, NO_ACCOUNT = "The sign-in did not work", "There is no account for you yet"


def claims(email: str, sub: str = "248289761001", **more: Any) -> dict[str, Any]:
    return {"sub": sub, "email": email, "email_verified": True, "name": "Jane Doe", **more}


def go(client: Client, target: str = "") -> Any:
    """Go to the provider and come back; what our side answers then."""
    begun = client.get(BEGIN, {"next": target} if target else {})
    assert begun.status_code == 302, begun.text
    back = httpx.get(begun["Location"], trust_env=False).headers["Location"]
    return client.get(back.removeprefix("http://testserver"))


def signed_in(client: Client) -> str | None:
    found = User.objects.filter(pk=client.session.get("_auth_user_id")).first() if client.session else None
    return found.email if found else None


def failures() -> list[Any]:
    return list(AuditEvent.objects.filter(type="login.failed").order_by("pk").values_list("target_id", flat=True))
