"""The admin's site: Unfold's, with its colours in a style sheet and its search switched off."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.apps import AdminConfig
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.module_loading import import_string

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

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """A person's own new password, of which the log is told."""
        told = import_string("accounts.services.people.password_told")
        with told(request.user.pk, by=request.user):
            return super().password_change(request, extra_context)

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Nothing: the sidebar lists what there is, and each list has a search of its own."""
        raise Http404


class SiteConfig(AdminConfig):
    """`django.contrib.admin` with this site."""

    default_site = "config.site.Site"

    def ready(self) -> None:
        """Find every model's page, save the scheduler's own: agents say when they wake."""
        super().ready()
        for model in apps.get_app_config("django_celery_beat").get_models():
            if site.is_registered(model):
                site.unregister(model)
