"""Identities of the provider are known by its address and their id there, which the id alone was no name for."""

import hashlib
from typing import Any

from django.conf import settings
from django.db import migrations


def name_by_issuer(apps: Any, schema_editor: Any) -> None:
    """Rows without a configured provider stay: nobody signs in with them."""
    rows = apps.get_model("socialaccount", "SocialAccount").objects.filter(provider="sso")
    for row in rows.iterator() if settings.OIDC_ISSUER else ():
        row.uid = hashlib.sha256(f"{settings.OIDC_ISSUER}\n{row.uid}".encode(errors="surrogatepass")).hexdigest()
        row.save(update_fields=["uid"])


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_sign_in"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
    ]

    operations = [migrations.RunPython(name_by_issuer, migrations.RunPython.noop)]
