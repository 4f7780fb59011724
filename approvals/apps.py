"""Wiring of the approvals app."""

from django.apps import AppConfig

from core import ledger


class ApprovalsConfig(AppConfig):
    """The approvals app."""

    name = "approvals"

    def ready(self) -> None:
        """Keep the log that lower floors write to."""
        from approvals.services import audit  # noqa: PLC0415  models must be there before it is imported

        ledger.register(audit.record)
