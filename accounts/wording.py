"""django-allauth's forms in the words of our pages; a placeholder that repeats the label is left out."""

from typing import Any

from allauth.account import forms as account

WORDS = {
    "Email": "E-mail address",
    "Current Password": "Current password",
    "New Password": "New password",
    "New Password (again)": "New password, again",
    "Password (again)": "Password, again",
}


class _Worded:
    fields: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label = WORDS.get(str(field.label), field.label)
            field.widget.attrs.pop("placeholder", None)


class Login(_Worded, account.LoginForm):
    """Address and password."""


class ChangePassword(_Worded, account.ChangePasswordForm):
    """Another password, for who knows the present one."""


class SetPassword(_Worded, account.SetPasswordForm):
    """The first password."""


class ResetPassword(_Worded, account.ResetPasswordForm):
    """Where the link for a new password goes."""


class ResetPasswordFromKey(_Worded, account.ResetPasswordKeyForm):
    """A new password, for who has the link."""


class Reauthenticate(_Worded, account.ReauthenticateForm):
    """The password once more."""
