"""What the tests prove of the API: which client speaks with which operation; docs/compatibility.md is made of it.

A test says it by a marker, `@pytest.mark.proves("POST /v1/chat/completions", client="openai for Python")`, and one that
walks the schema without naming anything: it is then the test's parameter `operation`. When such a test has run, the
access log must have each operation that it names, answered with success: a claim that does not hold fails the test.

`python -m tests.compatibility` (`make compatibility`) collects the tests and writes the page.
"""

import json
import logging
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
TESTS = ("tests/dialects", "tests/contract")
VERBS = ("get", "post", "put", "patch", "delete")
SOCKET = "WebSocket"  # in place of a method: what is no HTTP is in no schema, and in no access log
ACCESS = re.compile(r"(?P<method>[A-Z]+) (?P<path>/.*?) (?P<status>\d{3})(?=\"|$)")


@dataclass(frozen=True)
class Client:
    """Who speaks: what it is called, and the package that has its version, one of Python or of tests/clients."""

    name: str
    package: str = ""
    folder: str = ""

    @property
    def version(self) -> str:
        """The version that the lock files name; empty for what comes with the machine."""
        if self.folder:
            lock = json.loads((ROOT / "tests" / "clients" / self.folder / "package-lock.json").read_text())
            return str(lock["packages"][f"node_modules/{self.package}"]["version"])
        if self.package:
            locked = re.search(rf"^{re.escape(self.package)}==(\S+)", (ROOT / "requirements-dev.txt").read_text(), re.M)
            assert locked, f"requirements-dev.txt does not lock {self.package}"
            return locked[1]
        return ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


CLIENTS = {
    one.name: one
    for one in (
        Client("openai for Python", "openai"),
        Client("openai for Node", "openai", "openai"),
        Client("langchain-openai", "langchain-openai"),
        *(Client(f"AI SDK {major}", f"ai{major}", "ai_sdk") for major in (5, 6, 7)),
        Client("@ag-ui/client", "@ag-ui/client", "ag_ui"),
        Client("the reader that splits on lines"),
        Client("Node's fetch"),
        Client("curl"),
        Client("websockets", "websockets"),
        Client("httpx", "httpx"),
        Client("Django's test client", "django"),
    )
}
"""In the order of the page."""

DIALECTS = {
    "The native API": ("/v1/ai/", "/v1/auth/", "/ws/ai/"),
    "The assistant chat API": ("/api/chat", "/api/health"),
    "The chat sessions API": ("/chat",),
    "The agents and teams API": ("/api/agents", "/api/teams"),
    "OpenAI's Chat Completions": ("/v1/chat/", "/v1/models"),
    "The AI SDK": ("/api/ai-sdk/",),
    "AG-UI": ("/api/ag-ui/",),
}


def operations() -> list[str]:
    """Every operation of the OpenAPI schema, such as `GET /v1/models`."""
    from drf_spectacular.generators import SchemaGenerator  # noqa: PLC0415  it needs Django, which is set up by now

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [f"{verb.upper()} {path.rstrip('/')}" for path, of in paths.items() for verb in VERBS if verb in of]


@dataclass(frozen=True)
class Proof:
    """One client at one operation, in the tests of one file."""

    operation: str
    client: str
    file: str


def claims(item: pytest.Item) -> set[Proof]:
    """What a test says that it proves; raises ValueError for a client that is none of ours."""
    file = item.path.relative_to(ROOT).as_posix()
    found = set()
    for marker in item.iter_markers("proves"):
        client = marker.kwargs["client"]
        params = item.callspec.params if hasattr(item, "callspec") else {}
        client = client.format(**{name: value for name, value in params.items() if isinstance(value, str)})
        if client not in CLIENTS:
            raise ValueError(f"{item.nodeid} names the client {client!r}, which tests/compatibility.py does not know")
        found |= {Proof(str(one), client, file) for one in marker.args or [params["operation"]]}
    return found


# The claims of each run -----------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker."""
    config.addinivalue_line(
        "markers", "proves(*operations, client): the client speaks with these; of a walk, with each `operation`"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that passes without what it claims to prove."""
    claimed = {one.operation for one in claims(item) if not one.operation.startswith(SOCKET)}
    if not claimed:
        return (yield)
    with heard(getattr(item, "funcargs", {}).get("live")) as lines:
        result = yield
    missing = claimed - served(lines, operations())
    if missing:
        pytest.fail(f"no answer with success of {', '.join(sorted(missing))}: the test proves less than it says")
    return result


@contextmanager
def heard(live: object) -> Iterator[list[str]]:
    """The lines of the access log of this process and of a stack's web processes; whole once the block is left."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    webs = [name for name in getattr(live, "marks", ()) if name.startswith("web")]
    told = {name: len(live.log(name)) for name in webs}
    log = logging.getLogger("access")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        lines += [line for name in webs for line in live.log(name)[told[name] :].splitlines() if '"access"' in line]


def served(lines: Iterable[str], known: Iterable[str]) -> set[str]:
    """The operations that were answered with success."""
    patterns = [(re.compile(_pattern(one)), one) for one in sorted(known, key=lambda one: one.count("{"))]
    found = set()
    for line in lines:
        match = ACCESS.search(line)
        if match and match["status"].startswith("2"):
            asked = f"{match['method']} {match['path'].rstrip('/')}"
            found.add(next((one for pattern, one in patterns if pattern.fullmatch(asked)), ""))
    return found - {""}


def _pattern(operation: str) -> str:
    """The operation's requests; of a model's name a blank is no part, but a slash is."""
    parts = re.split(r"(\{\w+\})", operation)
    return "".join(r".+" if one == "{model}" else r"[^/]+" if one.startswith("{") else re.escape(one) for one in parts)


# The page -------------------------------------------------------------------------------------------------------------


class Collected:
    """A plug-in that keeps what the collected tests claim."""

    def __init__(self) -> None:
        self.proofs: set[Proof] = set()
        self.operations: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All tests are known."""
        self.operations = operations()
        for item in session.items:
            self.proofs |= claims(item)


def unproven(known: Iterable[str], proofs: Iterable[Proof]) -> list[str]:
    """The operations that no client was seen to speak with."""
    return sorted(set(known) - {one.operation for one in proofs})


def unknown(known: Iterable[str], proofs: Iterable[Proof]) -> list[str]:
    """What is claimed of operations that there are not."""
    return sorted({one.operation for one in proofs if not one.operation.startswith(SOCKET)} - set(known))


def markdown(proofs: Iterable[Proof]) -> str:
    """The page."""
    by_client: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in proofs:
        by_client[one.operation][one.client].add(one.file)
    lines = [
        "# Compatibility",
        "",
        "Which client speaks with which endpoint, as the tests prove it. `make compatibility` writes this page from",
        "their markers. A test fails where the page is not what they say, where an operation of the OpenAPI schema has",
        "no proof, and where a marked test got no successful answer from what it names. Versions are those of the lock",
        "files; what to change in a client of yours is in [clients](clients/README.md).",
        "",
    ]
    for dialect, beginnings in DIALECTS.items():
        mine = [name for name in by_client if name.partition(" ")[2].startswith(beginnings)]
        lines += [f"## {dialect}", "", "| endpoint | clients that prove it |", "| --- | --- |"]
        lines += [f"| `{name}` | {_cell(by_client[name])} |" for name in sorted(mine, key=_place)]
        lines.append("")
    return "\n".join(lines)


def _place(operation: str) -> tuple[str, str]:
    method, _, path = operation.partition(" ")
    return path, method


def _cell(clients: dict[str, set[str]]) -> str:
    """Each client, and the tests of it."""
    told = []
    for name in (name for name in CLIENTS if name in clients):
        files = sorted(clients[name])
        more = "".join(f" [+](../{file})" for file in files[1:])
        told.append(f"[{CLIENTS[name]}](../{files[0]}){more}")
    return " · ".join(told)


def collect() -> Collected:
    """What all tests claim, and all operations that there are."""
    found = Collected()
    status = pytest.main(["--collect-only", "-qq", "--no-header", *TESTS], plugins=[found])
    if status != pytest.ExitCode.OK:
        raise SystemExit(f"the tests were not collected: {status!r}")
    return found


def main() -> int:
    """Write the page; with `--check` only say what is wrong with it, 1 where something is."""
    found = collect()
    text = markdown(found.proofs)
    wrong = [f"nothing proves {one}" for one in unproven(found.operations, found.proofs)]
    wrong += [f"there is no {one}" for one in unknown(found.operations, found.proofs)]
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append(f"{PAGE.name} is not what the tests say: run `make compatibility`")
    sys.stderr.write("".join(f"{one}\n" for one in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
