"""How a team's answer is told: one has the floor, nobody's words are mixed, and who begins anew is told anew."""

import asyncio

import pytest

from agents.events import Compacted, ProviderChanged, RunRestarted, Status
from agents.providers.base import ChatMessage
from agents.teams import MEMBER, Member, Prompt
from chat import transcript
from chat.services.leases import Claim
from chat.services.nesting import Asked
from chat.teamwork import Teamwork, Voice
from chat.writer import Writer
from core import ids

NAMES = ("Ada", "Bob")
PLAN = {
    "mode": "brainstorm",
    "members": [{"agent_id": name, "name": name, "about": ""} for name in NAMES],
    "lead": {"agent_id": "Ada", "name": "Ada", "about": ""},
}


@pytest.fixture
async def team():
    """A team's work with two members who have said nothing yet."""
    writer = Writer()
    claim = Claim(
        run_id=ids.new(), conversation_id=ids.new(), workspace_id=ids.new(), user_id=None, attempt=1, seq=0,
        companion="", provider="p", model="m", system="", messages=(ChatMessage("user", "Hello"),), cancelled=False,
        team=PLAN,
    )  # fmt: skip
    log = writer.open(claim.run_id, claim.conversation_id, 1, 0)
    work = Teamwork(claim, log, lambda task: task, asyncio.get_running_loop().time() + 60)
    members = [Member(name, name) for name in NAMES]
    work._voices = [Voice(Asked(Prompt(one, MEMBER, 1, "Hello"), ids.new())) for one in members]
    yield work
    await writer.stop()


def told(work: Teamwork) -> str:
    work._tell()
    work._log.settle()
    work._log.go_on()
    return transcript.text(work._log.draft())


async def test_what_others_say_comes_when_the_floor_is_theirs(team):
    ada, bob = team._voices
    ada.text, bob.text = "one ", "uno "
    assert told(team) == "**Ada**\n\none "
    ada.text, bob.text = "one two", "uno due"
    assert told(team) == "**Ada**\n\none two"
    ada.ended = True
    assert told(team) == "**Ada**\n\none two\n\n**Bob**\n\nuno due"
    spoken = [
        (part["agent_name"], part["text"]) for part in team._log.draft() if "agent_name" in part and "text" in part
    ]
    assert spoken == [("Ada", "one two"), ("Bob", "uno due")]


async def test_who_waits_for_people_leaves_the_floor_and_is_heard_again_later(team):
    ada, bob = team._voices
    ada.text, ada.waits, bob.text = "one ", True, "uno"
    assert told(team) == "**Ada**\n\none \n\n**Bob**\n\nuno"
    ada.waits, ada.text, ada.ended, bob.ended = False, "one two", True, True
    assert told(team) == "**Ada**\n\none \n\n**Bob**\n\nuno\n\n**Ada**\n\ntwo"


async def test_a_member_that_begins_anew_is_told_anew_and_the_others_stand(team):
    ada, bob = team._voices
    ada.text, ada.ended, bob.text = "one", True, "uno du"
    told(team)
    team._begin_anew(bob, "")
    assert isinstance(team._log._pending[0], RunRestarted)
    bob.text = "tre"
    assert told(team).startswith("**Ada**\n\none")
    assert "uno" not in told(team)
    assert told(team).endswith("tre")


async def test_a_longer_text_of_the_same_beginning_is_no_new_beginning(team):
    ada, _ = team._voices
    ada.text = "one "
    told(team)
    team._begin_anew(ada, "one two")
    assert told(team) == "**Ada**\n\none two"


async def test_who_failed_leaves_an_entry_with_the_error(team):
    ada, _ = team._voices
    ada.ended, ada.error = True, "provider_error"
    assert told(team) == "**Ada**\n\n(no answer: provider_error)"
    [entry] = [part for part in team._log.draft() if part["type"] == "member"]
    assert (entry["agent_name"], entry["error"]) == ("Ada", "provider_error")


async def test_who_watches_is_told_that_a_members_model_changed_or_was_told_less(team):
    ada, bob = team._voices
    news = [(ada, ProviderChanged("two", "m2", "one: quota; two answers with m2")), (bob, Compacted(3, "two", "m2"))]
    for seq, (voice, event) in enumerate(news, 1):
        team._news.put_nowait((voice, seq, event))
        await team._hear()
    assert [event.label for event in team._log._pending if isinstance(event, Status)] == [
        "Ada: one: quota; two answers with m2", "Bob: 3 older messages are summarised",
    ]  # fmt: skip
