"""Whether a container does its work: `python deploy/probe.py web` or `worker`; exits with 1 where it does not.

It is asked every few seconds, so it imports nothing of ours.
"""

import os
import sys
import time
from http.client import HTTPConnection, HTTPException

LATEST = 60.0  # seconds since a worker's last heartbeat; one comes every two


def web() -> bool:
    """Whether the web process is ready for requests."""
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def worker() -> bool:
    """Whether the worker's loop has gone round lately."""
    try:
        return time.time() - os.stat(os.environ["HEARTBEAT_FILE"]).st_mtime < LATEST
    except (KeyError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(not {"web": web, "worker": worker}[sys.argv[1]]())
