"""Every route: the dialects, sign-in, the schema, the admin."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from accounts.api import money

urlpatterns = [
    re_path(r"^v1/ai/", include("chat.dialects.native.urls")),
    re_path(r"^v1/ai/", include("agents.api.urls")),
    re_path(r"^v1/ai/", include("companions.api.urls")),
    re_path(r"^v1/ai/", include("memory.api.urls")),
    re_path(r"^v1/ai/", include("approvals.api.urls")),
    re_path(r"^v1/ai/", include(money.routes)),
    re_path(r"^v1/auth/", include("accounts.api.urls")),
    re_path(r"^api/schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^api/docs/?$", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
]

handler400 = "core.problems.bad_request"
handler403 = "core.problems.permission_denied"
handler404 = "core.problems.page_not_found"
handler500 = "core.problems.server_error"
