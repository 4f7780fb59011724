"""One cast for all tests, on real servers that are started once (tests/servers/session.py)."""

pytest_plugins = (
    "tests.servers.session",
    "tests.servers.flush",
    "tests.servers.stack",
    "tests.cast",
    "tests.compatibility",
)
