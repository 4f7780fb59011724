"""What companions remember of a person, for that person: seen, corrected, forgotten."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Actor
from accounts.signedin import signed_in
from companions.models import Companion

MOST_COMPANIONS = 100


@require_safe
@signed_in
def panel(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The page with the panel, which reads the API."""
    companions = Companion.objects.visible_to(actor).order_by("name", "pk")[:MOST_COMPANIONS]
    learning = {"learns": settings.EXTRACTION, "seconds": round(settings.EXTRACTION_IDLE_SECONDS)}
    return render(request, "memory/page.html", {"place": "memory", "companions": companions, **learning})
