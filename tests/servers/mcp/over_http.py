"""An MCP server over streamable HTTP by the SDK, on the port that the first argument names."""

import sys

from mcp.server import MCPServer

server = MCPServer("greeter")


@server.tool()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
