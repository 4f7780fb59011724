"""MCP: sessions with servers, by the official SDK over transports that are bounded and guarded."""
