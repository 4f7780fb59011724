"""Who is locked out of whose account, and letting them try again."""

from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from accounts import lockout
from accounts.admin import scope
from accounts.admin.base import ScopedAdmin, badge, on_page
from accounts.models import Membership, Role, User
from accounts.services import people


@admin.register(AccessAttempt)
class LockAdmin(ScopedAdmin):
    """Failed sign-ins of an account from an address. Those with the names of nobody are for operators."""

    title = "Locked sign-ins"
    writes = frozenset()
    list_display = ("username", "ip_address", "failures_since_start", "state", "attempt_time")
    list_filter = ()
    search_fields = ("username",)
    ordering = ("-attempt_time",)
    fields = ("username", "ip_address", "user_agent", "path_info", "failures_since_start", "state", "attempt_time")
    readonly_fields = fields
    actions_detail = ("unlock",)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """The failures of the cool-off, each row with those of its account and address from all browsers."""
        since = timezone.now() - settings.AXES_COOLOFF_TIME
        same = AccessAttempt.objects.filter(
            username=models.OuterRef("username"), ip_address=models.OuterRef("ip_address"), attempt_time__gte=since
        )
        summed = same.order_by().values("username").annotate(total=models.Sum("failures_since_start")).values("total")
        rows = super().get_queryset(request).filter(attempt_time__gte=since)
        counted: models.QuerySet[Any] = rows.annotate(failures=models.Subquery(summed))
        return counted

    def within(self, rows: models.QuerySet[Any], workspaces: list[Any]) -> models.QuerySet[Any]:
        """Those of the accounts that are members there."""
        members = Membership.objects.filter(workspace__in=workspaces)
        found: models.QuerySet[Any] = rows.filter(username__in=members.values("user__email"))
        return found

    def allows(self, request: HttpRequest, row: Any, *wanted: Role) -> bool:
        """Readers see their members; letting somebody try again takes an admin of one of the person's workspaces."""
        if row is None or scope.sees_all(request):
            return scope.holds(request, *wanted)
        theirs = Membership.objects.filter(user__email=row.username).values_list("workspace", flat=True)
        return not {*theirs}.isdisjoint(scope.workspaces(request, *wanted))

    @badge("State", {"locked": "danger", "counted": "info"})
    def state(self, attempt: AccessAttempt) -> str:
        """Whether that address is locked out now."""
        failures: int = attempt.failures  # annotated
        return "locked" if failures >= settings.AXES_FAILURE_LIMIT else "counted"

    @on_page("Let them try again", "lock_open")
    def unlock(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then forget what failed."""
        attempt = self.one(request, object_id)
        if request.method != "POST":
            text = f"{attempt.ip_address or 'This address'} may try passwords of {attempt.username} again at once."
            return self.ask(request, attempt, "Let them try again", text=text, button="Let them try again")
        user = User.objects.filter(email=attempt.username).first()
        with transaction.atomic():
            lockout.unlock(attempt)
            if user is not None:
                people.tell("login.unlocked", user, scope.user(request), email=user.email)
        self.message_user(request, "Done.", messages.SUCCESS)
        return HttpResponseRedirect("../../")
