"""The other dialects, each read as its own clients read it."""
