"""How the cache writes what it keeps: as JSON, which runs nothing when it is read."""

import json
from typing import Any


class Json:
    """Django's cache asks for this pair of methods."""

    def dumps(self, value: Any) -> bytes:
        """The value as it is kept."""
        return json.dumps(value).encode()

    def loads(self, kept: bytes) -> Any:
        """The value that was kept."""
        return json.loads(kept)
