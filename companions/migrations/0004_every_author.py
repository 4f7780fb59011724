"""Authors of personas are noted whatever their role; who wrote what stands in one is read from the audit log."""

import json
from typing import Any

import django.contrib.postgres.fields
from django.db import migrations, models

from agents.services import authors

WORDS = ("personality", "tone")


def note_authors(apps: Any, schema_editor: Any) -> None:
    """As `companions.services.save` does it, for each change that was made; what was erased says nothing."""
    events = apps.get_model("approvals", "AuditEvent").objects.filter(type="companion.changed", actor_kind="person")
    payloads = apps.get_model("approvals", "AuditPayload").objects
    for row in apps.get_model("companions", "Companion").objects.only("author_ids").iterator():
        found = list(row.author_ids)
        changes = dict(events.filter(target_id=row.pk).order_by("id").values_list("pk", "actor_id"))
        told = dict(payloads.filter(event__in=list(changes)).values_list("event", "data"))
        for event_id, actor_id in changes.items():
            if actor_id is None or event_id not in told:
                continue
            data = json.loads(told[event_id])
            before, now = data.get("before") or {}, data.get("after") or {}
            old, new = ({name: one.get(name, "") for name in WORDS} for one in (before, now))
            found = authors.after(found, old, new, actor_id)
            if before.get("name") != now.get("name") and actor_id not in found:
                found.append(actor_id)
        row.author_ids = [*found, *(one for one in row.author_ids if one not in found)]
        row.save(update_fields=["author_ids"])


class Migration(migrations.Migration):
    dependencies = [
        ("companions", "0003_budgets_and_authors"),
        ("approvals", "0008_authors"),
    ]

    operations = [
        migrations.AlterField(
            model_name="companion",
            name="author_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(),
                db_default=[],
                default=list,
                editable=False,
                help_text="Whose words stand in its persona, whatever their role.",
                size=None,
            ),
        ),
        migrations.RunPython(note_authors, migrations.RunPython.noop),
    ]
