"""The identity provider, and the workspace into which its people come."""

from collections.abc import Iterator

from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings

from accounts import oidc
from accounts.models import Workspace
from accounts.services import provisioning
from config.doctor import Finding, Wanted, bad, ok

NAMED = 5  # short names of workspaces that are told


def check_provider(wanted: Wanted) -> Iterator[Finding]:
    """Whether it answers as people's sign-in needs it, and the workspace of its rules is there."""
    part = "sign-in"
    if not settings.OIDC_ISSUER:
        return
    try:
        oidc.fetched(oidc.described()["jwks_uri"])
    except OAuth2Error as error:
        yield bad(part, f"{settings.OIDC_ISSUER}: {error}", "Start it, or mend OIDC_ISSUER: nobody signs in there.")
    else:
        yield ok(part, f"{settings.OIDC_NAME} answers at {settings.OIDC_ISSUER}")
    if provisioning.lacks_workspace():
        here = ", ".join(Workspace.objects.order_by("created_at").values_list("slug", flat=True)[:NAMED]) or "none"
        todo = f"Set it to a workspace's short name; here are {here}. Until then nobody comes in by its rules."
        yield bad(part, f"OIDC_WORKSPACE={settings.OIDC_WORKSPACE} names no workspace", todo)
