"""GET /inbox and POST /inbox/read: what a person has not seen, and what agents reported to managers."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from accounts.models import Group
from agents.models import Agent
from approvals.services import audit
from chat.models import Message, ReadMark
from chat.services import background, conversations, inbox, runs
from core import ids
from tests.chat.answering import answer_all
from tests.chat.conftest import REHEARSAL

INBOX, READ = "/v1/ai/inbox", "/v1/ai/inbox/read"


def unread(client, **query):
    answer = client.get(INBOX, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def guard(workspace, manager, owner) -> Agent:
    return Agent.objects.create(workspace=workspace, slug="guard", name="Guard", kind="manager", task="Look.")


def report(guard, text="The disk is full."):
    background.wake(guard, who=audit.SYSTEM)
    answer_all(text)


def test_an_answer_is_unread_until_its_reader_says_otherwise(api, say):
    run = say()
    assert unread(api) == {"messages": [], "unread": 0, "next_cursor": None}
    answer_all()
    [message] = unread(api)["messages"]
    stored = Message.objects.get(role="assistant")
    assert message == {
        "id": str(stored.pk),
        "session_id": str(run.conversation_id),
        "agent": "smart-home",
        "companion": "smart-home",
        "role": "assistant",
        "content": "An answer.",
        "created_at": message["created_at"],
    }
    assert api.post(READ, {"session_id": message["session_id"]}).json() == {"marked": 1}
    assert unread(api)["unread"] == 0
    assert api.post(READ, {"all": True}).json() == {"marked": 0}


def test_who_writes_in_a_conversation_has_read_what_came_before(api, say):
    run = say("One")
    answer_all("First")
    say("Two", into=run.conversation)
    assert unread(api)["unread"] == 0
    answer_all("Second")
    assert [one["content"] for one in unread(api)["messages"]] == ["Second"]


def test_a_message_that_waits_in_line_marks_nothing_that_is_yet_to_come(api, say):
    run = say("One")
    say("Two", into=run.conversation, on_conflict="queue")
    answer_all("First")
    answer_all("Second")
    assert [one["content"] for one in unread(api)["messages"]] == ["Second", "First"]
    first = Message.objects.get(content="First")
    assert api.post(READ, {"message_ids": [str(first.pk)]}).json() == {"marked": 1}
    assert [one["content"] for one in unread(api)["messages"]] == ["Second"]


def test_who_saw_an_answer_saw_those_before_it(api, say):
    run = say("One")
    say("Two", into=run.conversation, on_conflict="queue")
    answer_all("First")
    answer_all("Second")
    second = Message.objects.get(content="Second")
    assert api.post(READ, {"message_ids": [str(second.pk), str(ids.new())]}).json() == {"marked": 2}
    assert unread(api)["unread"] == 0


def test_pages_go_from_the_newest_back(api, say):
    for text in ("a", "b", "c"):
        say()
        answer_all(text)
    first = unread(api, limit=2)
    assert ([one["content"] for one in first["messages"]], first["unread"]) == (["c", "b"], 3)
    last = unread(api, limit=2, cursor=first["next_cursor"])
    assert ([one["content"] for one in last["messages"]], last["next_cursor"]) == (["a"], None)


def test_what_an_agent_reports_is_for_managers_and_each_has_marks(guard, api, manager, owner, client_of):
    report(guard)
    managers, owners = client_of(manager), client_of(owner)
    assert unread(api)["unread"] == 0
    [message] = unread(managers)["messages"]
    assert (message["agent"], message["companion"], message["content"]) == ("guard", None, "The disk is full.")
    assert api.post(READ, {"message_ids": [message["id"]]}).json() == {"marked": 0}
    assert managers.post(READ, {"message_ids": [message["id"]]}).json() == {"marked": 1}
    assert unread(managers)["unread"] == 0
    assert unread(owners)["unread"] == 1


def reporting_to(guard, who) -> None:
    Agent.objects.filter(pk=guard.pk).update(reports_to=who)


def test_what_is_for_somebody_who_is_deactivated_is_for_the_managers(guard, member, manager, client_of):
    reporting_to(guard, member.user.email)
    report(guard)
    managers = client_of(manager)
    assert unread(managers)["unread"] == 0
    type(member.user).objects.filter(pk=member.user.pk).update(is_active=False)
    assert unread(managers)["unread"] == 1


def test_what_is_for_a_group_of_nobody_is_for_the_managers(guard, workspace, member, manager, stranger, client_of):
    group = Group.objects.create(workspace=workspace, name="Ops")
    reporting_to(guard, "Ops")
    report(guard)
    managers, members = client_of(manager), client_of(member)
    assert unread(managers)["unread"] == 1
    group.members.add(stranger.user)
    assert unread(managers)["unread"] == 1
    group.members.add(member.user)
    assert (unread(managers)["unread"], unread(members)["unread"]) == (0, 1)
    type(member.user).objects.filter(pk=member.user.pk).update(is_active=False)
    assert unread(managers)["unread"] == 1


def test_reports_of_before_somebody_came_are_not_new_to_them(guard, workspace, manager, client_of):
    report(guard)
    manager.membership.created_at = Now()
    manager.membership.save()
    assert unread(client_of(manager))["unread"] == 0
    report(guard, "Still full.")
    assert [one["content"] for one in unread(client_of(manager))["messages"]] == ["Still full."]


@pytest.mark.parametrize("by", ["slug", "pk"])
def test_one_agents_messages_can_be_read_alone(guard, manager, client_of, smart_home, by):
    runs.start(conversations.new(smart_home, by=manager), text="Hi", by=manager, choice=REHEARSAL)
    answer_all()
    report(guard)
    client, agent = client_of(manager), str(getattr(guard, by))
    assert [one["agent"] for one in unread(client)["messages"]] == ["guard", "smart-home"]
    assert [one["agent"] for one in unread(client, agent=agent)["messages"]] == ["guard"]
    assert client.post(READ, {"agent": agent}).json() == {"marked": 1}
    assert [one["agent"] for one in unread(client)["messages"]] == ["smart-home"]
    assert unread(client, agent="nobody")["unread"] == 0


def test_nobody_sees_or_marks_what_is_anothers(api, say, stranger, manager, client_of, guard):
    run = say()
    answer_all()
    report(guard)
    stranger.membership.role = "admin"
    stranger.membership.save()
    for other in (client_of(stranger), client_of(manager)):
        assert str(run.conversation_id) not in str(unread(other))
        assert other.post(READ, {"session_id": str(run.conversation_id)}).json()["code"] == "unknown_session"
        assert other.post(READ, {"message_ids": [str(Message.objects.get(content="An answer.").pk)]}).json() == {
            "marked": 0
        }
    assert client_of(stranger).post(READ, {"agent": "guard"}).json()["code"] == "unknown_agent"
    assert unread(client_of(stranger))["unread"] == 0
    assert unread(api)["unread"] == 1


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"cursor": "x"}, {"what": "x"}, {"agent": "a\x00"}])
def test_a_bad_question_is_refused(api, query):
    assert api.get(INBOX, query).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {}, [], {"message_ids": ["x"]}, {"session_id": 5}, {"what": 1}, {"agent": ""}, {"all": False},
        {"all": True, "agent": "devops"},
    ],
)  # fmt: skip
def test_a_bad_mark_is_refused(api, body):
    assert api.post(READ, body).status_code == 400


def test_an_empty_list_of_ids_marks_nothing(api, say):
    say()
    answer_all()
    assert api.post(READ, {"message_ids": []}).json() == {"marked": 0}


def test_the_count_ends_where_it_is_said_to_end(api, say, monkeypatch):
    for _ in range(4):
        say()
    answer_all()
    monkeypatch.setattr(inbox, "MOST", 3)
    assert unread(api)["unread"] == 3


def test_the_list_takes_two_statements_however_many_answers(member, say):
    for _ in range(5):
        say()
    answer_all()
    with CaptureQueriesContext(connection) as asked:
        inbox.page(by=member, limit=10)
    assert len(asked) == 2


@pytest.mark.django_db(transaction=True)
def test_two_that_mark_at_once_count_each_answer_once(guard, manager, say, member):
    for _ in range(5):
        report(guard)
        say()
        answer_all()

    def mark(who):
        try:
            return inbox.read(by=who)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(mark, [manager] * 4)) == 5
        assert sum(pool.map(mark, [member] * 4)) == 5
    assert ReadMark.objects.count() == 5
