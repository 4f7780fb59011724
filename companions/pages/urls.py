"""Routes of the pages of companions, below /console/."""

from accounts.pages.console import route
from companions.pages import companions

urlpatterns = [
    route("companions", companions.index, "companions"),
    route("companions/new", companions.new, "companion-new"),
    route("companions/<id>", companions.change, "companion"),
]
