"""The admin's site: Unfold's, with its colours in a style sheet and its search switched off."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.apps import AdminConfig
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils.http import urlencode
from django.utils.module_loading import import_string

from core.errors import Forbidden

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
else:
    from unfold.sites import UnfoldAdminSite as AdminSite


class Site(AdminSite):
    """Where every model is registered."""

    settings_name = "UNFOLD"
    index_title = "Overview"

    def extra_urls(self) -> list[URLPattern]:
        """The pages that are no model's; looked up when routes are made, for this module is loaded before models."""
        pages: list[URLPattern] = import_string("approvals.admin.urls.pages")(self)
        return pages

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every page has; colours as an inline style sheet would need a hole in the content policy."""
        return {**super().each_context(request), "colors": None}

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The way to where everybody signs in; raises Forbidden for who is signed in and no staff."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise Forbidden("The admin is for staff. An admin of your workspace can make you one of them.")
        target = request.GET.get("next") or reverse("admin:index", current_app=self.name)
        return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({'next': target})}")

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The way to where everybody signs out."""
        return HttpResponseRedirect(reverse("account_logout"), preserve_request=True)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The way to the page of a person's own new password."""
        return HttpResponseRedirect(reverse("account_change_password"))

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Nothing: the sidebar lists what there is, and each list has a search of its own."""
        raise Http404


class SiteConfig(AdminConfig):
    """`django.contrib.admin` with this site."""

    default_site = "config.site.Site"

    def ready(self) -> None:
        """Find every model's page, save those of libraries: agents say when they wake, people's pages who has what."""
        super().ready()
        for label in ("django_celery_beat", "account", "mfa", "socialaccount", "usersessions"):
            for model in apps.get_app_config(label).get_models():
                if site.is_registered(model):
                    site.unregister(model)
