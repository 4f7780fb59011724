"""In the console admins make and change companions, and managers say how they speak."""

import pytest
from django.test import Client

from agents.models import Agent
from approvals.models import AuditEvent
from companions.models import Companion
from tests.cast import companion

pytestmark = pytest.mark.django_db
SAID = {"mood": "friendly", "memory_layers": ["history"], "personality": "Warm.\r\nCalm.", "tone": "brief"}


def page_of(actor) -> Client:
    client = Client(headers={"Accept": "text/html"})
    client.force_login(actor.user)
    return client


def test_an_admin_makes_a_companion_that_people_find(owner, smart_home):
    made = {**SAID, "type": "garden", "name": "Flora", "agent": smart_home.agent_id, "enabled": "on"}
    admin = page_of(owner)
    assert admin.post("/console/companions/new/", made).status_code == 302
    flora = Companion.objects.get(type="garden")
    assert (flora.name, flora.personality, flora.memory_layers) == ("Flora", "Warm.\nCalm.", ["history"])
    twice = admin.post("/console/companions/new/", made)
    assert (twice.status_code, b"of this type already" in twice.content) == (409, True)
    text = admin.get("/console/companions/").content.decode()
    assert '/?companion=garden"' in text


def test_a_companion_is_tried_where_everybody_talks(owner, smart_home):
    Companion.objects.create(workspace=owner.workspace, type="a-first", name="A", agent=smart_home.agent)
    admin = page_of(owner)
    [link] = [
        part
        for part in admin.get("/console/companions/").content.decode().split('"')
        if part == "/?companion=smart-home"
    ]
    assert '<option value="smart-home" selected>' in admin.get(link).content.decode()


def test_an_admin_switches_a_companion_off_and_finds_it_again(owner, smart_home):
    admin = page_of(owner)
    path = f"/console/companions/{smart_home.pk}/"
    assert admin.post(path, {**SAID, "name": "Vesta", "agent": smart_home.agent_id}).status_code == 302
    smart_home.refresh_from_db()
    assert (smart_home.enabled, smart_home.name) == (False, "Vesta")
    assert "Vesta" in admin.get("/console/companions/").content.decode()
    assert AuditEvent.objects.filter(type="companion.changed").exists()


def test_a_manager_says_how_it_speaks_and_nothing_else(manager, smart_home):
    other = Agent.objects.create(workspace=manager.workspace, slug="other", name="Other")
    path = f"/console/companions/{smart_home.pk}/"
    assert page_of(manager).post(path, {**SAID, "name": "Mine", "agent": other.pk}).status_code == 302
    smart_home.refresh_from_db()
    assert (smart_home.tone, smart_home.mood) == ("brief", "friendly")
    assert (smart_home.name, smart_home.agent.slug, smart_home.enabled) == ("Hestia", "smart-home", True)


def test_an_agent_of_another_workspace_stands_behind_no_companion(owner, smart_home, other_workspace):
    theirs = companion(other_workspace)
    answer = page_of(owner).post(
        f"/console/companions/{smart_home.pk}/", {**SAID, "name": "Hestia", "agent": theirs.agent_id, "enabled": "on"}
    )
    assert answer.status_code == 400
    smart_home.refresh_from_db()
    assert smart_home.agent.workspace_id == owner.workspace.pk
