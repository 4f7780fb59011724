"""Routes of the native dialect that chat owns, below /v1/ai/."""

from django.urls import re_path

from chat.dialects.native import attachments, client_tools, hooks, inbox, info, sessions, teams, views

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

urlpatterns = [
    re_path(r"^chat/?$", views.ChatView.as_view()),
    re_path(r"^companion/(?P<type>[-a-zA-Z0-9_]{1,60})/chat/?$", views.CompanionChatView.as_view()),
    re_path(rf"^teams/(?P<team_id>{UUID})/chat/?$", teams.TeamChatView.as_view()),
    re_path(r"^sessions/?$", sessions.SessionsView.as_view()),
    re_path(rf"^sessions/(?P<session_id>{UUID})/?$", sessions.SessionView.as_view()),
    re_path(rf"^sessions/(?P<session_id>{UUID})/stream/?$", sessions.SessionStreamView.as_view()),
    re_path(rf"^runs/(?P<run_id>{UUID})/?$", views.RunView.as_view()),
    re_path(rf"^runs/(?P<run_id>{UUID})/events/?$", views.RunEventsView.as_view()),
    re_path(rf"^runs/(?P<run_id>{UUID})/cancel/?$", views.RunCancelView.as_view()),
    re_path(rf"^runs/(?P<run_id>{UUID})/tool-results/?$", client_tools.ToolResultsView.as_view()),
    re_path(rf"^attachments/(?P<attachment_id>{UUID})/?$", attachments.AttachmentView.as_view()),
    re_path(rf"^hooks/(?P<hook_id>{UUID})/?$", hooks.HookView.as_view()),
    re_path(r"^inbox/?$", inbox.InboxView.as_view()),
    re_path(r"^inbox/read/?$", inbox.InboxReadView.as_view()),
    re_path(r"^info/?$", info.InfoView.as_view()),
    re_path(r"^health/?$", info.HealthView.as_view()),
]
