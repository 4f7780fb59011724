"""Trying an agent on its page: who may, in which conversation, and what the page shows of what was said."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.core.signals import request_finished
from django.db import close_old_connections
from django.utils import timezone

from accounts.models import Role, User, Workspace
from agents.models import Agent, Provider
from chat.models import Conversation, Message, Run
from chat.services import background, inbox, runs
from tests.admin.conftest import HOSTILE, REHEARSAL, url
from tests.cast import person


def at(agent: Agent, step: str = "it") -> str:
    return url(Agent, f"try_{step}", agent.pk)


def left(response: Any) -> Any:
    """The response of a stream that its reader leaves at once; its end would end the test's transaction too."""
    request_finished.disconnect(close_old_connections)
    response.close()
    request_finished.connect(close_old_connections)
    return response


def say(client: Any, agent: Agent, text: str = "Hello") -> Any:
    return left(client.post(at(agent, "say"), {"message": text}))


@pytest.fixture(autouse=True)
def _rehearsal(here):
    """Nobody is asked but the rehearsal."""
    here[Provider].delete()


@pytest.fixture
def talks(here):
    """The talks with the agent that people have, the newest first."""
    return lambda: list(Conversation.objects.filter(agent=here[Agent], parent=None).order_by("-pk"))


def ended(run: Run, text: str, **changes: Any) -> None:
    """The run's end, with an answer, as a worker leaves it."""
    answer = {
        "role": "assistant",
        "content": text,
        "parts": [{"type": "text", "text": text}, *changes.pop("parts", [])],
    }
    Message.objects.create(workspace=run.workspace, conversation=run.conversation, **answer)
    Run.objects.filter(pk=run.pk).update(
        **{"state": "completed", "active": False, "ended_at": timezone.now(), **changes}
    )


def test_an_admin_talks_with_the_agent_as_it_stands_and_the_answer_is_streamed(here, staff, talks):
    client, agent = staff(Role.ADMIN), here[Agent]
    assert at(agent) in client.get(url(Agent, "change", agent.pk)).text
    assert "Nothing was said yet." in client.get(at(agent)).text
    answer = say(client, agent, "One\r\nTwo")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    [talk] = talks()
    run = talk.runs.get()
    assert (talk.user.email, run.message.content) == ("staff-admin@home.example", "One\nTwo")
    assert (talk.companion, run.agent, run.agent_version) == (None, agent, agent.version)
    assert f'data-run="{run.pk}"' in client.get(at(agent)).text


def test_a_busy_talk_is_told_and_goes_on_once_its_run_was_stopped(here, staff, talks):
    client, agent = staff(Role.ADMIN), here[Agent]
    say(client, agent)
    busy = say(client, agent)
    assert (busy.status_code, busy.json()["code"]) == (409, "conversation_busy")
    run = talks()[0].runs.get()
    assert client.post(at(agent, "stop"), {"run": run.pk}).status_code == 202
    assert runs.Run.objects.get(pk=run.pk).state == "cancelled"
    assert say(client, agent, "Again").status_code == 200
    assert [talk.runs.count() for talk in talks()] == [2]


def test_anew_archives_the_talk_and_stops_it(here, staff, talks):
    client, agent = staff(Role.ADMIN), here[Agent]
    say(client, agent)
    assert client.post(at(agent, "anew")).status_code == 302
    [old] = talks()
    assert (old.archived, old.runs.get().state) == (True, "cancelled")
    assert "Nothing was said yet." in client.get(at(agent)).text
    say(client, agent)
    assert [talk.archived for talk in talks()] == [False, True]


def test_what_it_says_does_not_wait_in_the_persons_inbox(here, staff, talks):
    say(staff(Role.ADMIN), here[Agent])
    [talk] = talks()
    ended(talk.runs.get(), "Here I am.")
    membership = talk.user.memberships.get()
    by = type(here.member)(user=talk.user, workspace=talk.workspace, membership=membership)
    assert inbox.page(by=by, limit=10).messages == []


def test_an_agent_that_is_tried_wakes_all_the_same(here, staff, talks):
    agent = here[Agent]
    Agent.objects.filter(pk=agent.pk).update(kind="manager", task="Look around.")
    say(staff(Role.ADMIN), agent)
    background.wake(Agent.objects.get(pk=agent.pk), who=background.audit.SYSTEM)
    assert {talk.user is None for talk in talks()} == {True, False}


@pytest.mark.parametrize(("role", "status"), [(Role.MANAGER, 403), (Role.AUDITOR, 403), (Role.MEMBER, 403)])
def test_nobody_but_admins_tries_an_agent(here, staff, role, status):
    client, agent = staff(role), here[Agent]
    for step in ("it", "events"):
        assert client.get(at(agent, step)).status_code in (status, 404)
    for step in ("it", "say", "stop", "anew"):
        assert client.post(at(agent, step), {"message": "Hello"}).status_code in (status, 404)
    assert at(agent) not in client.get(url(Agent, "change", agent.pk)).text
    assert not Conversation.objects.filter(agent=agent).exists()


def test_an_agent_of_another_workspace_is_not_there(here, there, staff):
    client, agent = staff(Role.ADMIN), there[Agent]
    assert client.get(at(agent)).status_code in (403, 404)
    for step in ("say", "stop", "anew"):
        assert client.post(at(agent, step), {"message": "Hello"}).status_code == 404
    assert client.get(at(agent, "events")).status_code == 404
    assert not Conversation.objects.filter(agent=agent).exists()


def test_an_admin_here_who_is_a_manager_there_tries_none_of_theirs(here, there, staff):
    client, agent = staff(Role.ADMIN), there[Agent]
    me = User.objects.get(email="staff-admin@home.example")
    here.member.membership.__class__.objects.create(workspace=there[Workspace], user=me, role=Role.MANAGER)
    for step in ("say", "stop", "anew"):
        assert client.post(at(agent, step), {"message": "Hello"}).status_code == 403


def test_runs_of_others_and_of_other_talks_are_not_read_or_stopped(here, staff, browser, workspace):
    agent = here[Agent]
    mine = staff(Role.ADMIN)
    say(mine, agent)
    other = person(workspace, "second", Role.ADMIN)
    User.objects.filter(pk=other.user.pk).update(is_staff=True)
    run = Conversation.objects.get(agent=agent).runs.get()
    theirs = browser(other.user)
    assert theirs.get(at(agent, "events"), {"run": run.pk}).status_code == 404
    assert theirs.post(at(agent, "stop"), {"run": run.pk}).status_code == 404
    for strange in ("x", "", str(here[Run].pk)):
        assert mine.get(at(agent, "events"), {"run": strange}).status_code == 404
        assert mine.post(at(agent, "stop"), {"run": strange}).status_code == 404
    assert not Run.objects.get(pk=run.pk).ended
    for strange in ("-1", "x", "9" * 17, "9" * 16):
        assert mine.get(at(agent, "events"), {"run": run.pk, "after": strange}).status_code == 400
    read = left(mine.get(at(agent, "events"), {"run": run.pk, "after": "0"}))
    assert read["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize("text", ["", "  \n", "x" * (settings.MESSAGE_LIMIT + 1)])
def test_a_message_that_is_none_is_refused_by_its_field(here, staff, text):
    refused = say(staff(Role.ADMIN), here[Agent], text)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "message"
    assert not Conversation.objects.filter(agent=here[Agent]).exists()


def test_messages_count_against_the_limit_of_chats(here, staff, settings):
    settings.LIMITS = {**settings.LIMITS, "chat": 1}
    client, agent = staff(Role.ADMIN), here[Agent]
    assert say(client, agent).status_code == 200
    assert say(client, agent).status_code == 429


def test_what_a_model_wrote_and_how_the_agent_is_called_is_text(here, staff, talks):
    client, agent = staff(Role.ADMIN), here[Agent]
    say(client, agent, HOSTILE)
    [talk] = talks()
    call = {"type": "tool_call", "call_id": "1", "name": HOSTILE, "arguments": {HOSTILE: HOSTILE}}
    result = {"type": "tool_result", "call_id": "1", "name": HOSTILE, "ok": False, "summary": HOSTILE, "content": ""}
    ended(
        talk.runs.get(), HOSTILE + "\u202e", parts=[{"type": "reasoning", "text": HOSTILE}, call, result],
        state="failed", error_message=HOSTILE, error_code="stalled",
    )  # fmt: skip
    page = client.get(at(agent))
    assert HOSTILE not in page.text
    assert "<img src=x" not in page.text
    assert page.text.count("&lt;script&gt;alert(") > 5
    assert "U+202E" in page.text
    assert "<script>" not in page.text
    assert "'unsafe-inline'" not in page["Content-Security-Policy"].split("script-src")[1].split(";")[0]


def test_the_api_goes_on_with_the_talk_as_with_any_session(here, staff, client_of, talks):
    say(staff(Role.ADMIN), here[Agent])
    [talk] = talks()
    ended(talk.runs.get(), "Here I am.")
    actor = type(here.member)(user=talk.user, workspace=talk.workspace, membership=talk.user.memberships.get())
    api = client_of(actor)
    listed = api.get("/v1/ai/sessions").json()["sessions"]
    assert [(one["id"], one["companion"], one["title"]) for one in listed] == [
        (str(talk.pk), None, f"Trying {here[Agent].name}")
    ]
    runs.start(Conversation.objects.get(pk=talk.pk), text="More", by=actor, choice=REHEARSAL)
    assert json.loads(api.get(f"/v1/ai/sessions/{talk.pk}").content)["active_run_id"]
