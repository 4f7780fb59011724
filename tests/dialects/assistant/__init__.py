"""The assistant chat dialect: /api/chat."""
