"""What signing in takes and gives."""

from rest_framework import serializers

from accounts.models import Role
from core.serializers import StrictSerializer


class LoginSerializer(StrictSerializer):
    """An address and its password; the workspace is an id or a slug, and the person's first one without it."""

    email = serializers.CharField(max_length=254)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)
    workspace = serializers.CharField(max_length=60, required=False, default="", allow_blank=True)
    code = serializers.CharField(
        max_length=20,
        required=False,
        default="",
        allow_blank=True,
        help_text="Of an authenticator app, or a recovery code, where the account has two-factor sign-in.",
    )


class RefreshSerializer(StrictSerializer):
    """A refresh token, which can be used once."""

    refresh = serializers.CharField(max_length=4000)


class UserSerializer(serializers.Serializer[object]):
    """The person who signed in."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    role = serializers.ChoiceField(choices=Role.choices)


class TokensSerializer(serializers.Serializer[object]):
    """A pair of tokens: `access` for 15 minutes, `refresh` for the next pair."""

    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds that `access` lasts.")
    workspace_id = serializers.UUIDField()
    user = UserSerializer()


class TicketSerializer(serializers.Serializer[object]):
    """A ticket for one WebSocket."""

    ticket = serializers.CharField()
    expires_in = serializers.IntegerField()
