"""An MCP server over streamable HTTP that asks something of its client in the middle of a call, and waits."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.servers.mcp.odd_tool import ASKED, TOOL

INITIALIZED = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "asking", "version": "1"}}


class McpAsking:
    """The server; `left` is set once the client has gone away from the answer that never ends."""

    def __init__(self, method: str) -> None:
        self.left, asked = threading.Event(), {"jsonrpc": "2.0", "id": 99, "method": method, "params": ASKED[method]}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                match heard.get("method"):
                    case "initialize":
                        self._say(heard, INITIALIZED)
                    case "tools/list":
                        self._say(heard, {"tools": [TOOL]})
                    case "tools/call":
                        self._begin("text/event-stream")
                        self.wfile.write(f"event: message\ndata: {json.dumps(asked)}\n\n".encode())
                        self.rfile.read(1)  # nothing comes: the client leaves
                        outer.left.set()
                    case _:
                        self.send_response(202)
                        self.send_header("Content-Length", "0")
                        self.end_headers()

            def _begin(self, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()

            def _say(self, heard: dict[str, Any], result: dict[str, Any]) -> None:
                self._begin("application/json")
                self.wfile.write(json.dumps({"jsonrpc": "2.0", "id": heard["id"], "result": result}).encode())

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
