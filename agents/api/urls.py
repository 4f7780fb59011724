"""Routes of agents, models and preferences, below /v1/ai/."""

from django.urls import re_path

from agents.api import bundles, definitions, keys, mcp, secrets, skills, teams, tools, views

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

urlpatterns = [
    re_path(r"^agents/?$", definitions.AgentsView.as_view()),
    re_path(rf"^agents/(?P<agent_id>{UUID})/?$", definitions.AgentView.as_view()),
    re_path(rf"^agents/(?P<agent_id>{UUID})/versions/?$", definitions.VersionsView.as_view()),
    re_path(rf"^agents/(?P<agent_id>{UUID})/restore/?$", definitions.RestoreView.as_view()),
    re_path(r"^agents/import/?$", bundles.ImportView.as_view()),
    re_path(rf"^agents/(?P<agent_id>{UUID})/export/?$", bundles.ExportView.as_view()),
    re_path(r"^skills/?$", skills.SkillsView.as_view()),
    re_path(rf"^skills/(?P<skill_id>{UUID})/?$", skills.SkillView.as_view()),
    re_path(r"^keys/?$", keys.KeysView.as_view()),
    re_path(r"^keys/(?P<provider>[a-zA-Z0-9_-]{1,60})/?$", keys.KeyView.as_view()),
    re_path(r"^teams/?$", teams.TeamsView.as_view()),
    re_path(rf"^teams/(?P<team_id>{UUID})/?$", teams.TeamView.as_view()),
    re_path(rf"^teams/(?P<team_id>{UUID})/agents/(?P<agent_id>{UUID})/?$", teams.TeamAgentView.as_view()),
    re_path(r"^mcp-servers/?$", mcp.ServersView.as_view()),
    re_path(rf"^mcp-servers/(?P<mcp_server_id>{UUID})/?$", mcp.ServerView.as_view()),
    re_path(rf"^mcp-servers/(?P<mcp_server_id>{UUID})/refresh/?$", mcp.RefreshView.as_view()),
    re_path(rf"^mcp-servers/(?P<mcp_server_id>{UUID})/tools/?$", mcp.McpToolsView.as_view()),
    re_path(
        rf"^mcp-servers/(?P<mcp_server_id>{UUID})/tools/(?P<mcp_tool_id>{UUID})/acceptance/?$", mcp.AcceptView.as_view()
    ),
    re_path(r"^models/?$", views.ModelsView.as_view()),
    re_path(r"^preferences/?$", views.PreferencesView.as_view()),
    re_path(r"^preferences/model/?$", views.PreferredModelView.as_view()),
    re_path(r"^tools/?$", tools.ToolsView.as_view()),
    re_path(r"^tools/import/?$", tools.ImportView.as_view()),
    re_path(rf"^tools/(?P<tool_id>{UUID})/?$", tools.ToolView.as_view()),
    re_path(r"^tool-secrets/?$", secrets.SecretsView.as_view()),
    re_path(r"^tool-secrets/(?P<secret_name>[a-zA-Z0-9_-]{1,64})/?$", secrets.SecretView.as_view()),
]
