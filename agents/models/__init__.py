"""What answers: agents, the model providers of a workspace, its tools and where they reach."""

from agents.models.agents import Agent, AgentHook, AgentKind, AgentVersion, HookDelivery, Skill
from agents.models.described import Tool, ToolSecret
from agents.models.mcp import McpServer, McpTool
from agents.models.providers import Provider, ProviderKey, ProviderKind
from agents.models.sandbox import SandboxEffect, SandboxItem
from agents.models.teams import AgentTeam, ChatMode, TeamMember
from agents.models.tools import Connection, ConnectionKind, ToolSetting

__all__ = [
    "Agent",
    "AgentHook",
    "AgentKind",
    "AgentTeam",
    "AgentVersion",
    "ChatMode",
    "Connection",
    "ConnectionKind",
    "HookDelivery",
    "McpServer",
    "McpTool",
    "Provider",
    "ProviderKey",
    "ProviderKind",
    "SandboxEffect",
    "SandboxItem",
    "Skill",
    "TeamMember",
    "Tool",
    "ToolSecret",
    "ToolSetting",
]
