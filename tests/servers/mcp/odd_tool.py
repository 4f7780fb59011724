"""The tool of the servers that misbehave, and what they ask of their clients."""

TOOL = {
    "name": "Look-Up",
    "description": "Look something up.",
    "inputSchema": {"type": "object", "properties": {"word": {"type": "string"}}},
    "annotations": {"readOnlyHint": True},
}

# A number that no canonical JSON has.
COUNT = {"type": "object", "properties": {"number": {"type": "integer", "maximum": 2**63 - 1}}}

ASKED = {
    "sampling/createMessage": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "Hello"}}], "maxTokens": 10,
    },
    "elicitation/create": {"message": "Password?", "requestedSchema": {"type": "object", "properties": {}}},
}  # fmt: skip
