"""Routes of agents, models and preferences, below /v1/ai/."""

from django.urls import re_path

from agents.api import views

urlpatterns = [
    re_path(r"^agents/?$", views.AgentsView.as_view()),
    re_path(r"^agents/(?P<agent_id>[0-9a-f-]{36})/?$", views.AgentView.as_view()),
    re_path(r"^models/?$", views.ModelsView.as_view()),
    re_path(r"^preferences/?$", views.PreferencesView.as_view()),
    re_path(r"^preferences/model/?$", views.PreferredModelView.as_view()),
]
