"""Wiring of the approvals app."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models.signals import post_migrate

from core import ledger


class ApprovalsConfig(AppConfig):
    """The approvals app."""

    name = "approvals"

    def ready(self) -> None:
        """Keep the log that lower floors write to, and tell people what of it concerns their safety."""
        from approvals.services import security  # noqa: PLC0415  models must be there before it is imported

        ledger.register(security.record)
        post_migrate.connect(_grant, sender=self)


def _grant(using: str, **_: Any) -> None:
    """After every migration: what it made is the serving role's to use, as far as that goes."""
    from approvals.services import roles  # noqa: PLC0415  models must be there before it is imported

    if settings.DATABASE_ROLE and using == DEFAULT_DB_ALIAS and roles.can_grant():
        roles.grant(settings.DATABASE_ROLE)
