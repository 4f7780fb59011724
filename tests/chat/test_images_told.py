"""An image on its way to the model, through every provider's wire format, and again with later messages."""

import base64

import pytest
from django.core.files.base import ContentFile

from agents import brain
from agents.models import Provider
from agents.providers import abilities
from agents.providers.abilities import Told
from agents.providers.base import ProviderSpec
from chat import pictures
from chat.models import Attachment, Conversation, Message, Run, RunRole, RunState
from chat.services import attachments, conversations, leases, runs
from tests.chat.attempting import attempt
from tests.pictures import opened, picture, saved, sent
from tests.servers import stories
from tests.servers.stories import TELLERS
from tests.servers.threads import bridged

REHEARSAL = brain.Choice(ProviderSpec(name="rehearsal", kind="rehearsal"), "rehearsal")


@pytest.fixture(autouse=True)
def _nothing_remembered():
    pictures.forget()
    abilities.forget()


@pytest.fixture(params=TELLERS, ids=str)
def teller(request):
    return request.param


@pytest.fixture
def server(transactional_db, workspace, teller):
    """A provider of the workspace that speaks in this way."""
    with teller.running() as server, bridged():
        Provider.objects.create(
            workspace=workspace, name="narrator", kind=teller.kind, base_url=server.base_url, api_key=teller.key,
            any_model=True, default_model="story",
        )  # fmt: skip
        yield server
    brain.forget()


def shown(teller, server) -> list[tuple[str, tuple[int, int] | None]]:
    """What the provider was shown: of each image its type and its size, else the words."""
    found = [one.partition(",") for one in teller.shown(stories.last(server).body)]
    return [(head, opened(base64.b64decode(data)).size if data else None) for head, _, data in found]


def ask(member, companion, *images, text="What is this?", into=None, choice=REHEARSAL):
    """A message with these images is answered; gives the outcome."""
    with attachments.written(attachments.read(images)) as files:
        conversation = into or conversations.new(companion, by=member)
        runs.start(conversation, text=text, by=member, choice=choice, images=files)
    outcome = attempt()
    assert outcome is not None
    return outcome


def test_the_provider_is_shown_the_image_and_again_with_the_next_message(teller, server, workspace, smart_home, member):
    choice = brain.Choice(brain.spec(workspace.pk, "narrator"), "story")
    two = [sent(saved(picture(30, 20))), sent(saved(picture(10, 10), "GIF"), "image/gif")]
    outcome = ask(member, smart_home, *two, choice=choice)
    assert (outcome.state, outcome.error_message) == (RunState.COMPLETED, "")
    assert shown(teller, server) == [
        ("data:image/png;base64", (30, 20)),
        ("data:image/png;base64", (10, 10)),
        ("What is this?", None),
    ]
    asked = Message.objects.get(role="user")
    assert [part["type"] for part in asked.parts] == ["image", "image", "text"]

    pictures.forget()  # as another worker has it
    conversation = Conversation.objects.get()
    assert ask(member, smart_home, text="And its colour?", into=conversation, choice=choice).state == "completed"
    body = str(stories.last(server).body)
    assert "And its colour?" in body
    for attachment in Attachment.objects.all():
        assert base64.b64encode(attachments.contents(attachment.file)).decode() in body


@pytest.fixture
def sight(monkeypatch):
    """Lets a model of any provider see, or not."""

    def told(spec, *, sees):
        found = Told(has=frozenset({"vision"})) if sees else Told(lacks=frozenset({"vision"}))
        abilities.learn(spec, "story", found)

    return told


@pytest.mark.parametrize("teller", TELLERS[:1], ids=str)
def test_a_model_that_sees_nothing_is_told_that_there_was_an_image(
    teller, server, sight, workspace, smart_home, member
):
    spec = brain.spec(workspace.pk, "narrator")
    sight(spec, sees=False)
    ask(member, smart_home, sent(), choice=brain.Choice(spec, "story"))
    body = str(stories.last(server).body)
    assert pictures.NOTE in body
    assert "base64" not in body


@pytest.mark.parametrize("teller", TELLERS[:1], ids=str)
@pytest.mark.parametrize("sees", [True, False])
def test_a_message_with_an_image_to_a_model_that_surely_sees_nothing_is_refused(
    teller, server, sight, sees, workspace, smart_home, api
):
    sight(brain.spec(workspace.pk, "narrator"), sees=sees)
    body = {"message": "Look", "companion": "smart-home", "model": "story", "stream": True}
    assert api.post("/v1/ai/chat", body).status_code == 200
    answer = api.post("/v1/ai/chat", {**body, "attachments": [sent()]})
    if sees:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"], answer.json()["lacks"]) == (400, "model_lacks", ["vision"])
    assert not Attachment.objects.exists()


def test_the_rehearsal_says_that_it_looked_at_nothing(transactional_db, smart_home, member):
    with bridged():
        outcome = ask(member, smart_home, sent(), sent(saved(picture(9, 9), "JPEG"), "image/jpeg"))
        sizes = list(Attachment.objects.order_by("pk").values_list("media_type", "size"))
        told = ", ".join(f"{kind} of {size:,} bytes" for kind, size in sizes)
        assert f"With it came 2 images ({told}); nobody has looked at any." in outcome.text
        outcome = ask(member, smart_home, text="And now?", into=Conversation.objects.get())
        assert "image" not in outcome.text


@pytest.mark.parametrize("limit", ["MOST", "MOST_CHARACTERS"])
@pytest.mark.parametrize("teller", TELLERS[:1], ids=str)
def test_of_many_images_the_newest_are_shown_and_a_note_stands_for_the_older(
    teller, server, limit, monkeypatch, workspace, smart_home, member
):
    choice = brain.Choice(brain.spec(workspace.pk, "narrator"), "story")
    one = sent(saved(picture(31, 31)))
    most = {"MOST": 1, "MOST_CHARACTERS": len(one["data"]) * 3 // 2}
    monkeypatch.setattr(pictures, limit, most[limit])
    ask(member, smart_home, one, text="The first", choice=choice)
    ask(member, smart_home, one, text="The second", into=Conversation.objects.get(), choice=choice)
    first, _, second = [said for said in stories.last(server).body["messages"] if said["role"] != "system"]
    assert first["content"] == f"{pictures.NOTE}\nThe first"
    assert [part["type"] for part in second["content"]] == ["image_url", "text"]


@pytest.mark.parametrize("teller", TELLERS[:1], ids=str)
def test_an_image_whose_file_is_lost_is_told_as_a_note(teller, server, workspace, smart_home, member):
    choice = brain.Choice(brain.spec(workspace.pk, "narrator"), "story")
    ask(member, smart_home, sent(), choice=choice)
    pictures.forget()
    attachments.storage().delete(Attachment.objects.get().file)
    assert ask(member, smart_home, text="Again", into=Conversation.objects.get(), choice=choice).state == "completed"
    assert pictures.NOTE in str(stories.last(server).body)


def test_what_is_remembered_of_images_stays_within_its_bound(db, monkeypatch):
    monkeypatch.setattr(pictures, "REMEMBERED", 10)
    for name in "abc":
        pictures._read_in(name, attachments.storage().save(f"2026-01-01/{name}", ContentFile(b"xyz")))
    assert list(pictures._kept) == ["b", "c"]


@pytest.mark.parametrize(("role", "sees"), [(RunRole.MEMBER, True), (RunRole.VOTE, False), (RunRole.DELEGATE, False)])
def test_the_members_of_a_team_are_shown_what_came_with_the_message_to_it(role, sees, smart_home, member, say):
    with attachments.written(attachments.read([sent()])) as files:
        above = say("Look at this", images=files)
    asked = say("Look at this")
    Run.objects.filter(pk=asked.pk).update(parent=above, root_id=above.pk, role=role, place="1")
    claims = {claim.run_id: claim for claim in leases.claim("test", limit=5)}
    [image] = claims[above.pk].messages[-1].images
    assert image.source == str(Attachment.objects.get().pk)
    assert claims[asked.pk].messages[-1].images == ((image,) if sees else ())
