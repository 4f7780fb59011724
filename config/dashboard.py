"""How the admin looks: its name, its scripts, and what its sidebar leads to."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _page(title: str, icon: str, name: str, **more: Any) -> dict[str, Any]:
    """An entry of the admin's sidebar."""
    link = reverse_lazy(f"admin:{name}")
    return {"title": title, "icon": icon, "link": link, "permission": "accounts.admin.reads", **more}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Countersign",
    "SITE_HEADER": "Countersign",
    "SITE_SYMBOL": "approval",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("countersign/icon.svg")}],
    "SCRIPTS": [lambda _: static("countersign/admin.js")],
    "STYLES": [lambda _: static("countersign/admin.css")],
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "chat.overview.first_page",
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    _page("Inbox", "approval", "approvals_inbox", badge="approvals.admin.pending.badge"),
                    _page("Overview", "monitoring", "index"),
                ]
            },
            {
                "title": "Countersigning",
                "items": [
                    _page("Approvals", "fact_check", "approvals_approval_changelist"),
                    _page("Actions", "bolt", "chat_action_changelist", badge="chat.admin.actions.unknown_badge"),
                    _page("Policies", "policy", "approvals_policy_changelist"),
                    _page("Trust", "handshake", "approvals_trust"),
                    _page("Remembered", "bookmark", "approvals_grant_changelist"),
                    _page("Audit log", "receipt_long", "approvals_auditevent_changelist"),
                    _page("Channels", "campaign", "approvals_notificationchannel_changelist"),
                    _page("Deliveries", "outbox", "approvals_outboxitem_changelist"),
                ],
            },
            {
                "title": "Talk",
                "items": [
                    _page("Runs", "play_circle", "chat_run_changelist"),
                    _page("Conversations", "forum", "chat_conversation_changelist"),
                    _page("Messages", "chat", "chat_message_changelist"),
                    _page("Images", "image", "chat_attachment_changelist"),
                    _page("Summaries", "summarize", "chat_compaction_changelist"),
                ],
            },
            {
                "title": "Answering",
                "items": [
                    _page("Companions", "robot_2", "companions_companion_changelist"),
                    _page("Memories", "psychology", "memory_owner_changelist", permission="memory.admin.reads"),
                    _page("Agents", "smart_toy", "agents_agent_changelist"),
                    _page("Skills", "school", "agents_skill_changelist"),
                    _page("Teams", "diversity_3", "agents_agentteam_changelist"),
                    _page("Hooks", "webhook", "agents_agenthook_changelist"),
                    _page("Providers", "dns", "agents_provider_changelist"),
                ],
            },
            {
                "title": "Money",
                "items": [
                    _page("Budgets", "savings", "accounts_budget_changelist"),
                    _page("Usage", "payments", "accounts_usageentry_changelist"),
                    _page("Own keys", "vpn_key", "agents_providerkey_changelist"),
                ],
            },
            {
                "title": "Tools",
                "items": [
                    _page("Switches", "toggle_on", "agents_toolsetting_changelist"),
                    _page("Described", "http", "agents_tool_changelist"),
                    _page("Secrets", "password", "agents_toolsecret_changelist"),
                    _page("MCP servers", "hub", "agents_mcpserver_changelist"),
                    _page("MCP tools", "handyman", "agents_mcptool_changelist"),
                    _page("Connections", "cable", "agents_connection_changelist"),
                    _page("Sandbox", "deployed_code", "agents_sandboxitem_changelist"),
                    _page("Effects in the sandbox", "history", "agents_sandboxeffect_changelist"),
                ],
            },
            {
                "title": "Access",
                "items": [
                    _page("Workspaces", "domain", "accounts_workspace_changelist"),
                    _page("People", "person", "accounts_user_changelist"),
                    _page("Memberships", "badge", "accounts_membership_changelist"),
                    _page("Locked sign-ins", "lock_person", "axes_accessattempt_changelist"),
                    _page("Invitations", "mail", "accounts_invitation_changelist"),
                    _page("Groups", "groups", "accounts_group_changelist"),
                    _page("API keys", "key", "accounts_apikey_changelist"),
                    _page("Idempotent requests", "repeat_one", "accounts_idempotentrequest_changelist"),
                ],
            },
        ],
    },
}
