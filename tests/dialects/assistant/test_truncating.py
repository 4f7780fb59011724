"""Taking away the beginning of a conversation: what goes with it, what stays, and who is stopped."""

import pytest
from django.core.files.storage import storages

from chat.models import Attachment, Compaction, Conversation, Message, Run, RunState
from chat.services import attachments, compactions, history, leases, runs, saying, truncating
from chat.services.saying import Said
from memory.models import Entry
from tests.chat.conftest import REHEARSAL
from tests.pictures import picture, saved, sent

LIST = "/api/chat/conversations"


@pytest.fixture
def begin(member):
    """Starts a run in a conversation."""

    def start(conversation: Conversation, text: str = "Hello", **options) -> Run:
        return runs.start(conversation, text=text, by=member, choice=REHEARSAL, **options)

    return start


def left(conversation: Conversation) -> list[str]:
    return list(conversation.messages.order_by("turn_at", "created_at").values_list("content", flat=True))


def summarised(conversation: Conversation, up_to: Message) -> Compaction:
    return Compaction.objects.create(
        workspace_id=conversation.workspace_id, conversation=conversation, up_to=up_to, turn_at=up_to.turn_at,
        said_at=up_to.created_at, messages=2, content="They spoke of a lamp.", provider="p", model="m",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "deleted", "kept"),
    [
        (0, 4, []),
        (1, 3, ["answer 2"]),
        (2, 2, ["question 2", "answer 2"]),
        (3, 1, ["answer 1", "question 2", "answer 2"]),
        (4, 0, ["question 1", "answer 1", "question 2", "answer 2"]),
        (1_000_000, 0, ["question 1", "answer 1", "question 2", "answer 2"]),
    ],
)
@pytest.mark.proves("POST /api/chat/conversations/{conversation_id}/truncate", client="Django's test client")
def test_the_most_recent_messages_are_kept(api, member, talk, keep, deleted, kept):
    mine, other = talk(member, 2), talk(member, 1)
    answer = api.post(f"{LIST}/{mine.pk}/truncate", {"keep_count": keep})
    told = {"ok": True, "conversation_id": str(mine.pk), "keep_count": keep, "deleted": deleted}
    assert (answer.status_code, answer.json(), list(answer.json())) == (200, told, list(told))
    assert left(mine) == kept
    assert left(other) == ["question 1", "answer 1"]


def test_without_a_count_all_goes_and_the_conversation_stays(api, member, talk):
    mine = talk(member, 2, title="question 1")
    assert api.post(f"{LIST}/{mine.pk}/truncate/", {}).json()["deleted"] == 4
    mine.refresh_from_db()
    assert (left(mine), mine.title) == ([], "")
    assert api.get(LIST).json() == {"conversations": []}


@pytest.mark.parametrize("keep", [-1, 1_000_001, "2", 2.5, None, True])
def test_a_count_that_is_none_is_400(api, member, talk, keep):
    mine = talk(member, 1)
    answer = api.post(f"{LIST}/{mine.pk}/truncate", {"keep_count": keep})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "keep_count")
    assert len(left(mine)) == 2


def test_a_title_that_a_person_gave_stays(member, talk):
    mine = talk(member, 2, title="Our lamps")
    truncating.truncate(mine, keep=0, by=member)
    mine.refresh_from_db()
    assert mine.title == "Our lamps"


def test_every_summary_goes_because_each_tells_of_the_beginning(member, talk):
    mine = talk(member, 3)
    for place in (1, 3):
        summarised(mine, mine.messages.order_by("turn_at", "created_at")[place])
    assert truncating.truncate(mine, keep=4, by=member) == 2
    assert not Compaction.objects.exists()


def test_summaries_stay_where_nothing_goes(member, talk):
    mine = talk(member, 2)
    summarised(mine, mine.messages.order_by("turn_at", "created_at")[1])
    assert truncating.truncate(mine, keep=4, by=member) == 0
    assert Compaction.objects.count() == 1


def test_images_go_with_their_messages(member, talk, smart_home, django_capture_on_commit_callbacks):
    mine = talk(member, 0)
    run, _ = saying.begin(member, Said(text="What is this?", attachments=[sent(saved(picture()))]), mine)
    image = Attachment.objects.get(message=run.message)
    assert storages["attachments"].exists(image.file)
    with django_capture_on_commit_callbacks(execute=True):
        truncating.truncate(mine, keep=0, by=member)
    assert not Attachment.objects.exists()
    assert attachments.contents(image.file) is None


def test_what_is_remembered_stays(member, talk, begin):
    mine = talk(member, 0)
    begin(mine, "My name is Ada.")
    before = Entry.objects.count()
    truncating.truncate(mine, keep=0, by=member)
    assert Entry.objects.count() == before


def test_a_run_whose_question_goes_is_stopped_and_its_readers_are_told(member, talk, begin):
    mine = talk(member, 1)
    waits, stands = begin(mine), begin(mine, "And then?", on_conflict=runs.OnConflict.QUEUE)
    assert truncating.truncate(mine, keep=1, by=member) == 3
    assert left(mine) == ["And then?"]
    assert not Run.objects.filter(pk=waits.pk).exists()
    assert Run.objects.get(pk=stands.pk).active  # the turn is its


def test_a_model_at_work_is_stopped_where_its_question_goes(member, talk, begin):
    mine = talk(member, 1)
    run = begin(mine)
    [claim] = leases.claim("test", limit=1)
    assert truncating.truncate(mine, keep=0, by=member) == 3
    assert leases.checkpoint([leases.Checkpoint(run.pk, claim.attempt, 5, [])]) == {}


def test_a_model_at_work_on_what_stays_is_told_of_in_a_refusal(api, member, talk, begin):
    mine = talk(member, 1)
    run = begin(mine)
    leases.claim("test", limit=1)
    answer = api.post(f"{LIST}/{mine.pk}/truncate", {"keep_count": 1})
    assert (answer.status_code, answer.json()["code"], answer.json()["run_id"]) == (
        409,
        "conversation_busy",
        str(run.pk),
    )
    assert len(left(mine)) == 3
    assert api.post(f"{LIST}/{mine.pk}/truncate", {"keep_count": 3}).json()["deleted"] == 0


def test_a_run_that_waits_and_whose_question_stays_goes_on_without_the_rest(member, talk, begin):
    mine = talk(member, 2)
    run = begin(mine)
    truncating.truncate(mine, keep=2, by=member)
    [claim] = leases.claim("test", limit=1)
    assert claim.run_id == run.pk
    assert [one.content for one in history.of([run.pk])[run.pk].messages] == ["answer 2"]
    assert compactions.older(run.pk, keep_characters=0, most_characters=100).said == ("Assistant: answer 2",)


def test_what_was_had_for_a_run_goes_with_it(member, talk, begin, smart_home):
    mine = talk(member, 0)
    gone, stays = begin(mine), begin(mine, "And then?", on_conflict=runs.OnConflict.QUEUE)
    below = []
    for root in (gone, stays):
        of = Conversation.objects.create(
            workspace=member.workspace, user=member.user, agent=smart_home.agent, parent=mine
        )
        run = begin(of, "Do a part of it")
        Run.objects.filter(pk=run.pk).update(parent=root, root_id=root.pk, depth=1, role="member", place="1")
        below.append(of)
    truncating.truncate(mine, keep=1, by=member)
    assert list(Conversation.objects.filter(parent=mine)) == [below[1]]
    assert set(Run.objects.values_list("state", flat=True)) == {RunState.QUEUED}
