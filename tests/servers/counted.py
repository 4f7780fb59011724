"""The web process as it is shipped, which also tells on SIGUSR1 what it holds."""

import asyncio
import json
import os
import signal
import sys
import threading

import psutil
import uvicorn
import uvloop

from config.asgi import application  # isort: skip  it loads Django
from chat.eventlog import feed


def tell() -> None:
    """Print a line of what this process holds now."""
    held = {
        "tasks": len(asyncio.all_tasks()),
        "watchers": feed.watchers,
        "threads": threading.active_count(),
        "connections": len(psutil.Process(os.getpid()).net_connections()),
    }
    print("HELD", json.dumps(held), flush=True)  # noqa: T201  read from its log


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    config = uvicorn.Config(application, "127.0.0.1", port, loop="uvloop", lifespan="off", access_log=False)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
