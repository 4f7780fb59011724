"""Routes of the pages of agents, below /console/."""

from accounts.pages.console import route
from agents.pages import agents, budgets, mcp, providers, tools, trying

urlpatterns = [
    route("providers", providers.index, "providers"),
    route("providers/new", providers.new, "provider-new"),
    route("providers/default-model", providers.default_model, "default-model"),
    route("providers/<id>", providers.change, "provider"),
    route("providers/<id>/test", providers.test, "provider-test"),
    route("providers/<id>/first", providers.first, "provider-first"),
    route("providers/<id>/remove", providers.remove, "provider-remove"),
    route("agents", agents.index, "agents"),
    route("agents/<id>", agents.change, "agent"),
    route("agents/<id>/switch", agents.switch, "agent-switch"),
    route("tools", tools.index, "tools"),
    route(r"tools/(?P<tool>[a-z][a-z0-9_]{0,63})/switch", tools.switch, "tool-switch"),
    route("mcp", mcp.index, "mcp"),
    route("mcp/<id>", mcp.server, "mcp-server"),
    route("mcp/tools/<id>/accept", mcp.accept, "mcp-accept"),
    route("mcp/tools/<id>/withdraw", mcp.withdraw, "mcp-withdraw"),
    route("budgets", budgets.index, "budgets"),
    route("budgets/new", budgets.new, "budget-new"),
    route("budgets/<id>", budgets.change, "budget"),
    route("budgets/<id>/remove", budgets.remove, "budget-remove"),
    route("policies/try", trying.index, "try-call"),
]
