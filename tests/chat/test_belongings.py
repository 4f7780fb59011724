"""What hangs on a person's account is in what they take along, and no secret is."""

import io
import json
import zipfile

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession

from accounts.models import Actor
from agents.models import ProviderKey
from approvals.models import NotificationPreference
from approvals.services import audit
from chat.models import Folder
from chat.services import exporting

SECRET = "sk-live-quixotilla"


def taken(actor: Actor) -> dict[str, bytes]:
    data = b"".join(exporting.export(actor.user, [actor.membership], who=audit.person(actor)))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def lines(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.django_db(transaction=True)
def test_sign_ins_settings_and_events_are_taken_along_without_secrets(member, manager):
    UserSession.objects.create(user=member.user, ip="10.9.8.7", user_agent="Quixotic/1", session_key=SECRET)
    Authenticator.objects.create(user=member.user, type="totp", data={"secret": SECRET})
    UserSession.objects.create(user=manager.user, ip="10.1.1.1", user_agent="Other/1", session_key="other")
    both = {"workspace": member.workspace, "user": member.user}
    ProviderKey.objects.create(**both, provider="openai", api_key=SECRET)
    Folder.objects.create(**both, name="Travels")
    NotificationPreference.objects.create(membership=member.membership, time_zone="Europe/Berlin")
    found = taken(member)
    account = json.loads(found["account.json"])
    assert [(one["ip"], one["user_agent"]) for one in account["sessions"]] == [("10.9.8.7", "Quixotic/1")]
    assert [one["type"] for one in account["second_factors"]] == ["totp"]
    assert [one["provider"] for one in lines(found["home/provider_keys.jsonl"])] == ["openai"]
    assert [one["name"] for one in lines(found["home/folders.jsonl"])] == ["Travels"]
    assert [one["time_zone"] for one in lines(found["home/notifications.jsonl"])] == ["Europe/Berlin"]
    assert "person.exported" in {one["type"] for one in lines(found["home/audit.jsonl"])}
    assert not [name for name, data in found.items() if SECRET.encode() in data]
    told = found["README.txt"].decode()
    assert [name for name in found if name.rpartition("/")[2] not in told and name.endswith(".jsonl")] == []
