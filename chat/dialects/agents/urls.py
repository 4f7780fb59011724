"""Routes of the agents' and teams' dialect, below /api/."""

from django.urls import re_path

from chat.dialects.agents import chat, teams, views

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
AGENT = rf"^agents/(?P<agent_id>{UUID})"
TEAM = rf"^teams/(?P<team_id>{UUID})"

urlpatterns = [
    re_path(r"^agents/?$", views.AgentsView.as_view()),
    re_path(rf"{AGENT}/?$", views.AgentView.as_view()),
    re_path(rf"{AGENT}/chat/?$", chat.ChatView.as_view()),
    re_path(rf"{AGENT}/chat/stream/?$", chat.ChatStreamView.as_view()),
    re_path(rf"{AGENT}/history/?$", chat.HistoryView.as_view()),
    re_path(rf"{AGENT}/memories/?$", chat.MemoriesView.as_view()),
    re_path(rf"{AGENT}/conversations/?$", views.ConversationsView.as_view()),
    re_path(rf"{AGENT}/conversations/(?P<conversation_id>{UUID})/?$", views.ConversationView.as_view()),
    re_path(rf"{AGENT}/inbox/?$", views.InboxView.as_view()),
    re_path(rf"{AGENT}/mark-read/?$", views.MarkReadView.as_view()),
    re_path(r"^teams/?$", teams.TeamsView.as_view()),
    re_path(rf"{TEAM}/?$", teams.TeamView.as_view()),
    re_path(rf"{TEAM}/agents/(?P<agent_id>{UUID})/?$", teams.TeamAgentView.as_view()),
    re_path(rf"{TEAM}/chat/?$", teams.TeamChatView.as_view()),
    re_path(rf"{TEAM}/chat/stream/?$", teams.TeamChatStreamView.as_view()),
    re_path(rf"{TEAM}/history/?$", teams.TeamHistoryView.as_view()),
]
