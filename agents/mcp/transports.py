"""The ways to an MCP server: a program's standard streams, and HTTP through the guarded client; both bounded."""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx2
import msgspec
from django.conf import settings
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from core import guarded
from core.embedded_child import die_with_parent
from core.errors import DomainError

MOST_BYTES = 4_000_000  # that a server says in one session
LONGEST_MESSAGE = 1_000_000
PATH = "/usr/local/bin:/usr/bin:/bin"
END_SECONDS = 1.0  # for a program to end by itself once nobody listens

Streams = tuple[Any, Any]


@asynccontextmanager
async def stdio(command: Sequence[str], variables: Mapping[str, str]) -> AsyncGenerator[Streams]:
    """The streams of a program, which ends with the context, and with this process; raises OSError.

    It has nothing of our environment, a folder of its own, and a process group that is killed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="mcp-", ignore_cleanup_errors=True) as folder:
        loop = asyncio.get_running_loop()
        # As create_subprocess_exec() does, which keeps the transport, whose pipes must be closed, to itself.
        transport, protocol = await loop.subprocess_exec(
            partial(asyncio.subprocess.SubprocessStreamProtocol, LONGEST_MESSAGE, loop),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": PATH, "HOME": folder, "LANG": "C.UTF-8", **variables},
            cwd=folder,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGKILL, os.getpid()),  # as all our children
        )
        process = asyncio.subprocess.Process(transport, protocol, loop)
        heard_in, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said, said_out = anyio.create_memory_object_stream[SessionMessage](0)
        tasks = [
            asyncio.create_task(_read(process, heard_in)),
            asyncio.create_task(_write(process, said_out, heard_in)),
        ]
        try:
            yield heard, said
        finally:
            try:
                await _end(process, tasks)
            finally:
                transport.close()  # what is left in its pipes is read by nobody
                for stream in (heard_in, heard, said, said_out):
                    stream.close()


async def _read(process: asyncio.subprocess.Process, heard: Any) -> None:
    """Tell each line that is a message. One that is too long, or too much of them, ends the conversation."""
    size, stdout = 0, process.stdout
    with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ValueError, OSError):
        while stdout and (line := await stdout.readline()):
            size += len(line)
            if size > MOST_BYTES:
                break
            with contextlib.suppress(ValidationError):  # programs print other things as well
                await heard.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
    heard.close()


async def _write(process: asyncio.subprocess.Process, said: Any, heard: Any) -> None:
    stdin = process.stdin
    try:
        async for one in said:
            if stdin is not None:
                stdin.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await stdin.drain()
    except (OSError, anyio.ClosedResourceError):
        heard.close()


async def _end(process: asyncio.subprocess.Process, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Close its input, and kill its group, whether it has ended by then or not: it may have children."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while process.returncode is None:  # noqa: ASYNC110  wait() waits for children that hold its output too
                    await asyncio.sleep(0.01)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while process.returncode is None:  # noqa: ASYNC110  as above
                    await asyncio.sleep(0.01)


class _Asked(msgspec.Struct):
    """A message that wants an answer of us."""

    method: str
    id: str | int


class _Listener:
    """Looks at an event stream as it comes, for a server that waits for us while we wait for the end of its answer."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, part: bytes) -> None:
        """Raises guarded.Unreachable once the server asks something of us."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > LONGEST_MESSAGE:
            raise guarded.Unreachable(f"A message is over {LONGEST_MESSAGE:,} bytes.")
        for line in lines:
            if line.startswith(b"data:"):
                with contextlib.suppress(msgspec.DecodeError):
                    asked = msgspec.json.decode(line[5:], type=_Asked)
                    shown = "".join(c for c in asked.method[:60] if c.isprintable())
                    raise guarded.Unreachable(f"It asks {shown} of us in the middle of its answer, which is refused.")


class Guarded(httpx2.AsyncBaseTransport):
    """The guarded client in the place of the SDK's own. `failure` is what it said of the latest request that failed."""

    def __init__(self, seconds: float) -> None:
        self.failure: DomainError | None = None
        self._seconds = seconds

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, read to its end; nothing is listened to beside calls. Raises httpx2.ConnectError."""
        if request.method == "GET":
            return httpx2.Response(405, request=request)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "connection", "accept-encoding", "user-agent")
        }
        try:
            answer = await guarded.request(
                request.method,
                str(request.url),
                headers=headers,
                content=await request.aread() or None,
                seconds=self._seconds,
                most_bytes=MOST_BYTES,
                private=settings.TOOL_PRIVATE_ADDRESSES,
                look=_Listener(),
            )
        except DomainError as error:
            self.failure = error
            raise httpx2.ConnectError(error.detail) from None
        if not answer.whole:
            self.failure = guarded.Unreachable(f"The answer is over {MOST_BYTES:,} bytes.")
            raise httpx2.ConnectError(self.failure.detail)
        kept = {name: answer.headers[name] for name in ("content-type", "mcp-session-id") if name in answer.headers}
        return httpx2.Response(answer.status, headers=kept, content=answer.body, request=request)


@asynccontextmanager
async def http(url: str, headers: Mapping[str, str], transport: Guarded) -> AsyncGenerator[Streams]:
    """The streams of a server over streamable HTTP."""
    async with (
        httpx2.AsyncClient(transport=transport, headers=dict(headers), trust_env=False, timeout=None) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=LONGEST_MESSAGE) as streams,
    ):
        yield streams
