"""Signing in to the admin: as at the API, an account and an address can be tried only so often.

It stands beside `admin` and not in it: the site asks for this form while it is made, before models can be registered.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.db import transaction

from accounts import limits
from accounts.models import User
from accounts.services import login
from core.errors import Unavailable

if TYPE_CHECKING:
    from django.contrib.admin.forms import AdminAuthenticationForm as AuthenticationForm
else:
    from unfold.forms import AuthenticationForm

TRIES_OF_AN_ADDRESS = 3  # times those of an account: one address may stand for a whole office


class LoginForm(AuthenticationForm):
    """Unfold's form, with the counters that the API's sign-in uses."""

    def clean(self) -> dict[str, Any]:
        """The person; raises ValidationError where they are not known, or tried too often. Either is recorded."""
        assert self.request is not None  # the admin's view gives it
        limit, email = settings.LIMITS["login"], self.cleaned_data.get("username", "")
        account = hashlib.sha256(email.strip().lower().encode()).hexdigest()
        self._count(f"ip:{limits.address(self.request)}", limit * TRIES_OF_AN_ADDRESS)
        self._count(f"account:{account}", limit)
        try:
            cleaned: dict[str, Any] = super().clean()
        except forms.ValidationError:
            login.record_failure(User.objects.filter(email=email.strip().lower()).first(), via="admin")
            raise
        with transaction.atomic():
            login.record_success(self.get_user(), via="admin")
        return cleaned

    def _count(self, who: str, limit: int) -> None:
        try:
            verdict = limits.hit("login", limit=limit, who=who, fail_closed=True)
        except Unavailable as error:
            raise forms.ValidationError(error.detail) from None
        if not verdict.allowed:
            raise forms.ValidationError(f"Too many tries. Try again in {verdict.reset} seconds.")
