"""The identity provider of the tests of accounts."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import oidc


@pytest.fixture
def provider(settings: Any) -> Iterator[oidc.Identities]:
    """The provider, named in the settings as the environment would."""
    with oidc.serving() as at:
        settings.OIDC_ISSUER = at.issuer
        app = {"provider_id": "sso", "name": "Acme", "client_id": oidc.CLIENT_ID, "secret": oidc.CLIENT_SECRET}
        app["settings"] = {"server_url": at.issuer, "oauth_pkce_enabled": True}
        shipped = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {**shipped, "APPS": [app]}}
        yield at


@pytest.fixture
def groups(settings):
    """Roles follow groups."""
    settings.OIDC_WORKSPACE, settings.OIDC_ROLES = "home", {"leads": "manager", "staff": "member"}
