"""The mood that a message asks for, or else its companion's, as a part of the prompt of its own."""

import pytest

from chat.models import Run
from chat.services import leases
from companions.models import Mood
from companions.services import MOODS, compose

CHAT = "/v1/ai/chat"

pytestmark = pytest.mark.django_db


def test_it_stands_beside_personality_and_tone():
    assert compose("Hestia", "Calm.", "brief", "You help.", Mood.SERIOUS) == (
        f"You are Hestia.\n\nCalm.\n\nTone: brief\n\n{MOODS[Mood.SERIOUS]}\n\nYou help."
    )
    assert compose("Hestia", "", "", "", Mood.NORMAL) == "You are Hestia."


@pytest.mark.parametrize(
    ("asked", "configured", "heard"),
    [
        ("", Mood.NORMAL, Mood.NORMAL),
        ("", Mood.FRIENDLY, Mood.FRIENDLY),
        ("serious", Mood.FRIENDLY, Mood.SERIOUS),
        ("normal", Mood.FRIENDLY, Mood.NORMAL),
    ],
)
def test_a_message_goes_before_the_companion(say, smart_home, asked, configured, heard):
    smart_home.mood = configured
    smart_home.save()
    run = say(mood=asked)
    [claim] = leases.claim("test", limit=1)
    spoken = {mood for mood, words in MOODS.items() if words and words in claim.system}
    assert spoken == ({heard} - {Mood.NORMAL})
    assert Run.objects.get(pk=run.pk).mood == asked


def test_an_unknown_mood_is_refused_and_nothing_is_stored(api, smart_home):
    answer = api.post(CHAT, {"message": "Hello", "mood": "furious"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "mood"
    assert Run.objects.count() == 0


def test_a_manager_sets_the_companions_mood(client_of, manager, smart_home):
    client = client_of(manager)
    path = "/v1/ai/companions/smart-home/config"
    assert client.put(path, {"mood": "friendly"}).json()["mood"] == "friendly"
    assert client.put(path, {"mood": "furious"}).status_code == 400
    smart_home.refresh_from_db()
    assert smart_home.mood == Mood.FRIENDLY
