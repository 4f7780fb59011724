"""Addresses that an admin may set: they may be private, so that little can be said against one."""

from urllib.parse import urlsplit


def is_address(url: str) -> bool:
    """Whether it is an http or https address with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and " " not in url
    except ValueError:
        return False
