"""Lists at a thousand rows and at a million: the time of each, and how many queries it takes."""

from collections.abc import Callable
from uuid import UUID

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User, Workspace
from accounts.services import login
from approvals.models import AuditEvent
from benchmarks.countersigning import Figure, timed
from benchmarks.filling import fill

RATIO = 1.5
FLOOR = 3.0  # milliseconds within which two times are called the same


def measure(manager: dict[str, str], *, events: int, requests: int, rounds: int) -> list[Figure]:
    """Every list with few rows and with many, side by side: the ratio, and the queries of the second."""
    workspace = Workspace.objects.get(slug="demo")
    fill(workspace.pk, events=1_000, requests=200, pending=100)
    pages = _pages(workspace.pk, manager)
    few = {name: timed(call, rounds) for name, call in pages.items()}
    fill(workspace.pk, events=events, requests=requests, pending=400)
    pages = _pages(workspace.pk, manager)
    figures = []
    for name, call in pages.items():
        many = timed(call, rounds)
        with CaptureQueriesContext(connection) as captured:
            call()
        ratio = many / few[name]
        text = f"{few[name]:.1f} → {many:.1f} ms ({ratio:.2f}), {len(captured)} queries"
        reached = ratio <= RATIO or many - few[name] < FLOOR
        figures.append(Figure(name, text, f"{RATIO} times", reached))
    return figures


def _pages(workspace_id: UUID, manager: dict[str, str]) -> dict[str, Callable[[], object]]:
    """The lists by name, each as a call."""
    token = login.sign_in(manager["email"], manager["password"]).access
    api = Client(headers={"Authorization": f"Bearer {token}", "Host": "localhost"})
    admin = Client(headers={"Host": "localhost"})
    admin.force_login(User.objects.get(email="admin@demo.example"))
    some = AuditEvent.objects.filter(workspace=workspace_id).exclude(session_id=None).order_by("-id")[10]
    v1 = "/v1/ai"
    paths = {
        "approvals, pending": (api, f"{v1}/approvals"),
        "approvals, approved": (api, f"{v1}/approvals?status=approved"),
        "approvals, all": (api, f"{v1}/approvals?status=all"),
        "approvals of a tool": (api, f"{v1}/approvals?status=all&tool=tool_7"),
        "approvals of a risk": (api, f"{v1}/approvals?status=all&risk=write"),
        "approvals of a tool that nobody used": (api, f"{v1}/approvals?status=all&tool=nothing"),
        "events": (api, f"{v1}/events"),
        "events of a type": (api, f"{v1}/events?type=policy.changed"),
        "events of an actor": (api, f"{v1}/events?actor={some.actor_id}"),
        "events of a session": (api, f"{v1}/events?session_id={some.session_id}"),
        "events of a type that never was": (api, f"{v1}/events?type=workspace.frozen"),
        "events of a day long ago": (api, f"{v1}/events?since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z"),
        "admin: overview": (admin, "/admin/"),
        "admin: inbox": (admin, "/admin/approvals/inbox/"),
        "admin: approvals": (admin, "/admin/approvals/approval/"),
        "admin: audit log": (admin, "/admin/approvals/auditevent/"),
        "admin: trust": (admin, "/admin/approvals/trust/"),
    }

    def call(client: Client, path: str) -> Callable[[], object]:
        def get() -> object:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.content[:300])
            return answer

        return get

    return {name: call(*where) for name, where in paths.items()}
