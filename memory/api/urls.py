"""Routes of memories, below /v1/ai/."""

from django.urls import re_path

from memory.api import bulk, views

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

urlpatterns = [
    re_path(r"^memory/?$", views.MemoriesView.as_view()),
    re_path(r"^memory/pause/?$", views.PauseView.as_view()),
    re_path(r"^memory/forget/?$", bulk.ForgetView.as_view()),
    re_path(r"^memory/export/?$", bulk.ExportView.as_view()),
    re_path(r"^memory/import/?$", bulk.ImportView.as_view()),
    re_path(rf"^memory/(?P<memory_id>{UUID})/?$", views.OneMemoryView.as_view()),
    re_path(rf"^memory/(?P<memory_id>{UUID})/versions/?$", views.VersionsView.as_view()),
    re_path(rf"^memory/(?P<memory_id>{UUID})/forgetting/?$", views.ForgettingView.as_view()),
    re_path(rf"^memory/(?P<memory_id>{UUID})/undo/?$", views.UndoView.as_view()),
    re_path(rf"^memory/(?P<memory_id>{UUID})/accept/?$", views.AcceptView.as_view()),
]
