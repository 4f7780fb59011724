"""Indices: requests that have ended by when, and those of a conversation."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_identities_by_issuer"),
        ("approvals", "0006_notifications"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(
                condition=models.Q(("status", "pending"), _negated=True),
                fields=["workspace", "-decided_at", "-id"],
                name="approvals_ended",
            ),
        ),
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(fields=["session_id", "-id"], name="approvals_of_session"),
        ),
    ]
