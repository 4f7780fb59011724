"""What the page for signing in shows."""

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def mail() -> bool:
    """Whether letters leave this installation."""
    return bool(settings.EMAIL_HOST)


@register.simple_tag
def passwords() -> str:
    """Who signs in with a password: `everybody`, `superusers` or, where they are `off`, nobody."""
    if not settings.OIDC_ONLY:
        return "everybody"
    return "superusers" if settings.OIDC_BREAK_GLASS else "off"
