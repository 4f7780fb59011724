"""Wiring of the accounts app."""

from django.apps import AppConfig

from core import sealed


class AccountsConfig(AppConfig):
    """The accounts app."""

    name = "accounts"

    def ready(self) -> None:
        """Answer browsers that ask whether a page of another origin may call, and listen to what tells of sign-ins."""
        from corsheaders.signals import check_request_enabled  # noqa: PLC0415  its app must be there

        from accounts import receivers  # noqa: PLC0415
        from accounts.crossorigin import may_call  # noqa: PLC0415
        from accounts.services import mfa  # noqa: PLC0415

        check_request_enabled.connect(may_call, dispatch_uid="pages of keys may call")
        receivers.connect()
        sealed.register(mfa.reseal)
