"""A webhook wakes its agent once where it is signed as Standard Webhooks has it; anything else does nothing."""

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from standardwebhooks import Webhook

from accounts.models import Role
from accounts.permissions import RoleMissing
from agents.models import Agent, AgentHook, HookDelivery
from agents.providers.base import ToolCall
from agents.services import hooks
from approvals.models import AuditEvent, Decision
from approvals.services import approvals
from approvals.services.rights import IsRequester
from chat.models import Run
from chat.services import leases, proposing
from core import ids
from core.errors import Invalid
from tests.cast import person

BODY = b'{"service": "billing", "state":  "stopped"}'  # two blanks, which no serializer would write


@pytest.fixture
def guard(workspace) -> Agent:
    return Agent.objects.create(
        workspace=workspace, slug="guard", name="Guard", kind="manager", task="Look after the services."
    )


@pytest.fixture
def made(guard, manager):
    return hooks.create(guard, name="Monitoring", by=manager)


@pytest.fixture
def hook(made) -> AgentHook:
    return made[0]


@pytest.fixture
def secret(made) -> str:
    return str(made[1])


@pytest.fixture
def call(client, hook, secret):
    """Sends a webhook that is right, save for what the test changes."""

    def send(body=BODY, *, id="msg_1", at=None, to=None, key=secret, signed=None, media="application/json", **headers):
        stamp = str(int(time.time()) if at is None else at)
        digest = hmac.new(_key(key), f"{id}.{stamp}.".encode() + (body if signed is None else signed), hashlib.sha256)
        sent = {
            "webhook-id": id,
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{base64.b64encode(digest.digest()).decode()}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        sent = {name: value for name, value in sent.items() if value is not None}
        return client.post(f"/v1/ai/hooks/{to or hook.pk}", body, media, headers=sent)

    return send


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"))


def refusals() -> int:
    return AuditEvent.objects.filter(type="webhook.refused").count()


def nothing_happened() -> bool:
    return not (HookDelivery.objects.exists() or Run.objects.exists())


def test_a_signed_webhook_wakes_the_agent_with_what_was_sent(call, guard, hook):
    answer = call()
    run = Run.objects.get()
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted", "run_id": str(run.pk)})
    assert run.agent == guard
    assert "Look after the services." in run.message.content
    assert '"service": "billing"' in run.message.content
    types = list(AuditEvent.objects.filter(type__in=["webhook.received", "agent.woken"]).values_list("type", flat=True))
    assert sorted(types) == ["agent.woken", "webhook.received"]
    assert AuditEvent.objects.get(type="webhook.received").target_id == hook.pk


def test_one_that_the_reference_library_signed_is_taken(client, hook, secret):
    now = int(time.time())
    signature = Webhook(secret).sign("msg_9", datetime.fromtimestamp(now, UTC), BODY.decode())
    headers = {"webhook-id": "msg_9", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert client.post(f"/v1/ai/hooks/{hook.pk}/", BODY, "application/json", headers=headers).status_code == 202


def test_a_repetition_does_nothing_and_is_told_so(call):
    call()
    again = call(at=int(time.time()) - 60)
    assert (again.status_code, again.json()) == (200, {"status": "repeated", "run_id": None})
    assert Run.objects.count() == HookDelivery.objects.count() == 1
    assert AuditEvent.objects.filter(type="webhook.received").count() == 1


def test_an_unsigned_repetition_is_refused_as_any_other(call):
    call()
    assert call(webhook_signature=None).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"webhook_signature": None}, {"webhook_id": None}, {"webhook_timestamp": None}, {"webhook_signature": ""},
        {"key": "whsec_" + base64.b64encode(b"x" * 24).decode()}, {"webhook_id": "msg_2"}, {"signed": BODY + b" "},
        {"signed": json.dumps(json.loads(BODY)).encode()}, {"webhook_signature": "v1,"}, {"webhook_signature": "v1,!"},
        {"webhook_signature": "v1"}, {"webhook_signature": "v1,abc"}, {"webhook_signature": "v1,a,b"},
        {"webhook_signature": "v1,é"}, {"webhook_signature": "v1," + "A" * 100_000}, {"id": "msg.1"}, {"id": "x" * 256},
        {"id": "a b"}, {"webhook_timestamp": "abc"}, {"webhook_timestamp": "nan"}, {"webhook_timestamp": "1e9"},
        {"webhook_timestamp": "-1"}, {"webhook_timestamp": "9" * 12}, {"webhook_timestamp": "1" * 400},
        {"webhook_timestamp": "١٧٠٠٠٠٠٠٠٠"},
    ],
    ids=lambda change: "-".join(f"{name} {str(value)[:12]}" for name, value in change.items()),
)  # fmt: skip
def test_what_is_not_signed_rightly_is_refused_and_noted(call, change):
    answer = call(**change)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature")
    assert nothing_happened()
    assert refusals() == 1


@pytest.mark.parametrize("change", ["v1a", "v2", "V1", " v1", "v1 "])
def test_a_signature_of_another_version_or_with_blanks_is_refused(call, secret, change):
    stamp = str(int(time.time()))
    right = base64.b64encode(hmac.new(_key(secret), f"m.{stamp}.".encode() + BODY, hashlib.sha256).digest()).decode()
    assert call(id="m", webhook_timestamp=stamp, webhook_signature=f"v1,{right}").status_code == 202
    wrong = call(id="m2", webhook_timestamp=stamp, webhook_signature=f"{change},{right}")
    assert wrong.status_code == 401


def test_of_several_signatures_one_that_is_right_will_do(call, secret):
    stamp = str(int(time.time()))
    right = base64.b64encode(hmac.new(_key(secret), f"m.{stamp}.".encode() + BODY, hashlib.sha256).digest()).decode()
    several = f"v1a,{'A' * 86}== v1,{'A' * 43}= v1,{right}"
    assert call(id="m", webhook_timestamp=stamp, webhook_signature=several).status_code == 202


@pytest.mark.parametrize("seconds", [-360, 360, -86_400, 86_400])
def test_an_old_or_an_early_one_is_refused_though_its_signature_is_right(call, seconds):
    assert call(at=int(time.time()) + seconds).status_code == 401
    assert nothing_happened()


@pytest.mark.parametrize("seconds", [-240, 240])
def test_clocks_may_differ_by_some_minutes(call, seconds):
    assert call(at=int(time.time()) + seconds).status_code == 202


def test_an_unknown_hook_and_one_that_is_off_answer_as_a_wrong_signature_does(call, hook, manager):
    wrong = call(webhook_signature="v1,AAAA").json()
    unknown = call(to=ids.new())
    hooks.switch(hook, on=False, by=manager)
    off = call()
    for answer in (unknown, off):
        assert answer.status_code == 401
        assert {**answer.json(), "request_id": ""} == {**wrong, "request_id": ""}
    assert nothing_happened()


def test_a_body_over_its_limit_is_refused_before_anything_is_looked_at(call, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert call(b"x" * (hooks.LARGEST + 1)).status_code == 413
    assert call(b'"' + b"x" * (hooks.LARGEST - 2) + b'"').status_code == 202


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\x00b", b'"\xed\xa0\x80"'])
def test_a_body_that_is_no_text_is_refused(call, body):
    assert call(body).status_code == 400
    assert nothing_happened()


@pytest.mark.parametrize(
    "body", [b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[" * 100 + b"]" * 100, b'"\\ud800"', b'{"a\\u0000": 1}']
)
def test_json_is_read_strictly(call, body):
    answer = call(body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
    assert nothing_happened()
    assert call(body, media="application/cloudevents+json", id="msg_2").status_code == 400


def test_what_is_no_json_is_passed_on_as_text(call):
    assert call(b"<alert>{ is no JSON</alert>", media="text/xml").status_code == 202
    assert "is no JSON" in Run.objects.get().message.content


def test_an_agent_that_is_busy_or_off_is_not_woken_and_the_sender_is_told(call, guard):
    call()
    busy = call(id="msg_2")
    assert (busy.status_code, busy.json()) == (202, {"status": "agent_busy", "run_id": None})
    Agent.objects.update(enabled=False)
    assert call(id="msg_3").json()["status"] == "agent_disabled"
    assert Run.objects.count() == 1
    assert HookDelivery.objects.count() == 3


def test_where_waking_fails_the_sender_may_repeat_it(call, workspace, settings):
    settings.REHEARSAL = False
    assert call().status_code == 503
    assert nothing_happened()
    settings.REHEARSAL = True
    assert call().status_code == 202


@pytest.mark.django_db(transaction=True)
def test_the_same_webhook_ten_times_at_once_wakes_the_agent_once(call):
    def send(_: int) -> int:
        try:
            return call().status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(send, range(10))) == [200] * 9 + [202]
    assert Run.objects.count() == HookDelivery.objects.count() == 1


@pytest.mark.parametrize("rotated", [False, True], ids=["who made it", "who rotated its secret"])
def test_who_knows_a_hooks_secret_countersigns_nothing_of_what_it_wakes(call, hook, guard, manager, workspace, rotated):
    knows, other = manager, person(workspace, "colleague", Role.MANAGER)
    key = None
    if rotated:
        knows, other = other, manager
        key = str(hooks.rotate(hook, by=knows))
    Agent.objects.filter(pk=guard.pk).update(tools=["service_restart"])
    assert (call(key=key) if key else call()).status_code == 202
    [claim] = leases.claim("test", limit=1)
    restart = ToolCall("call_1_1", "service_restart", {"service": "web"})
    parts = [{"type": "tool_call", "call_id": restart.call_id, "name": restart.name, "arguments": restart.arguments}]
    step = proposing.Step(
        run_id=claim.run_id, attempt=claim.attempt, number=1, seq=10, parts=parts, usage=None, calls=[restart]
    )
    [asked] = proposing.propose(step)
    with pytest.raises(IsRequester):
        approvals.decide(asked.approval_id, by=knows, decision=Decision.APPROVE)
    assert approvals.decide(asked.approval_id, by=other, decision=Decision.APPROVE).status == "approved"


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_only_post_is_served(client, hook, method):
    answer = getattr(client, method)(f"/v1/ai/hooks/{hook.pk}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


def test_a_hook_is_made_with_a_secret_that_only_its_maker_sees(hook, secret, client_of, manager):
    assert secret.startswith("whsec_")
    assert AgentHook.objects.get() == hook
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM agents_agenthook")
        assert secret not in cursor.fetchone()[0]
    event = AuditEvent.objects.select_related("payload").get(type="webhook.changed")
    assert event.actor_id == manager.user.pk
    assert secret not in event.payload.data


def test_after_a_rotation_the_old_secret_holds_no_more(call, hook, secret, manager):
    new = hooks.rotate(hook, by=manager)
    assert call().status_code == 401
    assert call(key=str(new)).status_code == 202
    assert AuditEvent.objects.filter(type="webhook.changed").count() == 2


def test_only_those_who_run_the_workspace_have_to_do_with_hooks(guard, hook, member, workspace):
    for actor in (member, person(workspace, "auditor", Role.AUDITOR)):
        for act in (
            lambda by: hooks.create(guard, name="Mine", by=by),
            lambda by: hooks.rotate(hook, by=by),
            lambda by: hooks.switch(hook, on=False, by=by),
        ):
            with pytest.raises(RoleMissing):
                act(actor)
    assert AgentHook.objects.get().enabled


def test_a_manager_of_another_workspace_changes_nothing(guard, hook, secret, other_workspace, call):
    boss = person(other_workspace, "boss", Role.ADMIN)
    with pytest.raises(Invalid):
        hooks.create(guard, name="Theirs", by=boss)
    for act in (lambda: hooks.rotate(hook, by=boss), lambda: hooks.switch(hook, on=False, by=boss)):
        with pytest.raises(hooks.UnknownHook):
            act()
    assert call().status_code == 202


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_hook_has_a_name(guard, manager, name):
    with pytest.raises(Invalid):
        hooks.create(guard, name=name, by=manager)


def test_a_companion_is_not_woken(smart_home, manager):
    with pytest.raises(Invalid):
        hooks.create(smart_home.agent, name="Hestia", by=manager)


def test_notes_of_what_came_are_dropped_after_a_while(hook):
    for number, days in enumerate((6, 8)):
        delivery = HookDelivery.objects.create(hook=hook, webhook_id=str(number))
        HookDelivery.objects.filter(pk=delivery.pk).update(created_at=Now() - timedelta(days=days))
    assert hooks.prune() == 1
    assert hooks.prune() == 0
