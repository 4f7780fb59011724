"""The admin of memory: what is remembered of people, for admins of the workspace alone."""

from django.http import HttpRequest

from accounts.admin import scope
from accounts.models import Role
from memory.admin import browser

__all__ = ["browser", "reads"]


def reads(request: HttpRequest) -> bool:
    """Whether the person may look at memories anywhere: an admin may, a manager or an auditor may not."""
    return scope.holds(request, Role.ADMIN)
