"""Every route: the dialects, the APIs beside them, sign-in, the schema, the pages, the admin."""

from django.contrib import admin
from django.urls import include, path, re_path

from accounts.api import money
from chat.dialects.native.export import ExportView
from config import console, documents

urlpatterns = [
    re_path(r"^v1/ai/", include("chat.dialects.native.urls")),
    re_path(r"^v1/ai/", include("agents.api.urls")),
    re_path(r"^v1/ai/", include("companions.api.urls")),
    re_path(r"^v1/ai/", include("memory.api.urls")),
    re_path(r"^v1/ai/", include("approvals.api.urls")),
    re_path(r"^v1/ai/", include(money.routes)),
    re_path(r"^v1/", include("chat.dialects.openai.urls")),
    re_path(r"^api/", include("chat.dialects.assistant.urls")),
    re_path(r"^", include("chat.dialects.sessions.urls")),
    re_path(r"^api/", include("chat.dialects.agents.urls")),
    re_path(r"^api/ai-sdk/", include("chat.dialects.ai_sdk.urls")),
    re_path(r"^api/ag-ui/", include("chat.dialects.ag_ui.urls")),
    re_path(r"^v1/auth/", include("accounts.api.urls")),
    re_path(r"^v1/auth/me/export/?$", ExportView.as_view()),
    re_path(r"^api/schema/?$", documents.DocumentView.as_view(), name="schema"),
    re_path(r"^api/schema/(?P<dialect>[a-z-]{1,20})/?$", documents.DocumentView.as_view(), name="schema"),
    re_path(r"^api/docs/?$", documents.page, name="docs"),
    re_path(r"^", include("chat.pages.urls")),
    re_path(r"^", include("memory.pages.urls")),
    re_path(r"^", include("accounts.pages.urls")),
    re_path(r"^console/?$", console.overview, name="console"),
    re_path(r"^", include("agents.pages.urls")),
    re_path(r"^", include("companions.pages.urls")),
    re_path(r"^", include("approvals.pages.console_urls")),
    re_path(r"^", include("approvals.pages.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "core.problems.bad_request"
handler403 = "core.problems.permission_denied"
handler404 = "core.problems.page_not_found"
handler500 = "core.problems.server_error"
