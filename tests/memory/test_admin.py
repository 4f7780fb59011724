"""The memory browser: who may look, what is shown and told to the log, and forgetting."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from approvals.models import AuditEvent
from core import ids
from memory.admin import pages
from memory.models import Author, Entry
from memory.services import entries, keeping, owners
from memory.services.entries import By, New, Span
from memory.services.keeping import Told, Whose
from tests.cast import person

LIST = reverse("admin:memory_owner_changelist")


def browser_of(actor):
    User.objects.filter(pk=actor.user.pk).update(is_staff=True)
    client = Client()
    client.force_login(User.objects.get(pk=actor.user.pk))
    return client


@pytest.fixture
def browser(owner):
    """An admin's."""
    return browser_of(owner)


@pytest.fixture
def page(mine):
    return reverse("admin:memory_owner_change", args=[mine.pk])


def entry_page(entry):
    return reverse("admin:memory_entry", args=[entry.owner_id, entry.pk])


def forget(browser, mine, *chosen, **more):
    where = reverse("admin:memory_forget", args=[mine.pk])
    return browser.post(where, {"entry": [str(getattr(one, "pk", one)) for one in chosen], **more})


def looks():
    return AuditEvent.objects.filter(type="memory.browsed")


def test_the_list_says_whose_memories_there_are_and_not_what(browser, note, member):
    note("Lives in Rome.", slot="home")
    text = browser.get(LIST).text
    assert member.user.email in text
    assert "Rome" not in text
    assert not looks().exists()


def test_memories_are_shown_by_layer_and_status_and_each_look_is_told(browser, note, page, member, owner):
    note("Lives in Rome.", slot="home")
    note("Lives in Oslo.", slot="home")
    note("Likes tea.", layer="preferences", slot="tea", pinned=True)
    text = browser.get(page).text
    assert "Lives in Oslo." in text
    assert "Likes tea." in text
    assert "Lives in Rome." not in text
    assert "Likes tea." not in browser.get(f"{page}?layer=identity").text
    assert "Lives in Rome." in browser.get(f"{page}?status=superseded").text
    assert (
        list(looks().values_list("target_kind", "target_id", "actor_id"))
        == [("person", member.user.pk, owner.user.pk)] * 3
    )


def test_a_search_shows_scores_and_what_they_are_made_of(browser, note, page):
    note("Painted the garden fence green.", layer="history")
    note("Has a cat.", layer="history")
    text = browser.get(f"{page}?q=green garden fence").text
    assert "Painted the garden fence green." in text
    assert '<dl class="parts">' in text
    assert "words" in text
    assert AuditEvent.objects.select_related("payload").get(type="memory.browsed").payload.data.count("fence") == 0


def test_a_paused_memory_says_so_and_can_still_be_searched(browser, mine, note, page, member):
    note("Has a cat.", layer="history")
    owners.pause(mine, True, by=member)
    assert "paused" in browser.get(page).text
    text = browser.get(f"{page}?q=cat").text
    assert "Has a cat." in text
    assert "paused" in text


def test_the_list_is_read_on_page_by_page(browser, note, page, monkeypatch):
    monkeypatch.setattr(pages, "PAGE", 2)
    for number in range(3):
        note(f"Number {number}", layer="history")
    first = browser.get(page)
    assert "Number 0" not in first.text
    second = browser.get(f"{page}{first.context['older']}")
    assert "Number 0" in second.text
    assert second.context["older"] == ""


def test_why_something_is_known_is_told_with_the_words_and_the_way_there(browser, member, mine, smart_home):
    talk, message = ids.new(), ids.new()
    whose = Whose(member.workspace.pk, member.user.pk, smart_home.pk)
    keeping.keep([(whose, Told(talk, message, "person", "Well, I live in Rome."))])
    new = New(layer="identity", slot="home", text="Lives in Roma.", model="gpt-x", sources=[Span(talk, message, 6, 20)])
    entry, _ = entries.write(mine, new, by=By(Author.EXTRACTOR, By.person(member).who))
    text = browser.get(entry_page(entry)).text
    assert "I live in Rome" in text
    assert "Well," not in text
    assert "The extractor wrote it down, with the model" in text
    assert reverse("admin:chat_conversation_change", args=[talk]) in text
    said = browser.get(entry_page(Entry.objects.get(kind="message"))).text
    assert "The person said it" in said


def test_versions_are_shown(browser, note, member):
    old = note("Lives in Rome.", slot="home")
    new = note("Lives in Oslo.", slot="home")
    entries.change(new, by=By.person(member), text="Lives in Bergen.")
    text = browser.get(entry_page(new)).text
    assert all(place in text for place in ("Lives in Rome.", "Lives in Oslo.", "Lives in Bergen.", member.user.email))
    assert "took its place" in browser.get(entry_page(old)).text


def test_one_or_several_are_forgotten_once_that_is_confirmed(browser, mine, note, owner):
    one, two, three = (note(f"Number {number}", layer="history") for number in range(3))
    asked = forget(browser, mine, one, two)
    assert "Forget 2 memories" in asked.text
    assert mine.entries.count() == 3
    forget(browser, mine, one, two, confirmed="1")
    assert list(mine.entries.all()) == [three]
    events = AuditEvent.objects.filter(type="memory.forgotten")
    assert set(events.values_list("actor_id", flat=True)) == {owner.user.pk}
    assert events.count() == 2


def test_what_is_gone_or_another_persons_is_not_forgotten(browser, mine, note, manager):
    one = note("Mine", layer="history")
    theirs, _ = entries.write(owners.of(manager, None), New(layer="history", text="Theirs"), by=By.person(manager))
    for chosen in ([theirs], ["x"], [ids.new()], []):
        assert forget(browser, mine, *chosen, confirmed="1").status_code == 302
    assert set(Entry.objects.all()) == {one, theirs}
    assert browser.get(entry_page(one).replace(str(one.pk), str(theirs.pk))).status_code == 302
    assert browser.get(reverse("admin:memory_forget", args=[mine.pk])).status_code == 405


@pytest.mark.parametrize("role", [Role.MANAGER, Role.AUDITOR, Role.MEMBER])
def test_nobody_but_an_admin_looks_or_forgets(workspace, mine, note, page, role):
    one = note("Lives in Rome.", slot="home")
    browser = browser_of(person(workspace, "curious", role))
    for address in (LIST, page, f"{page}?q=Rome", entry_page(one)):
        response = browser.get(address)
        assert response.status_code == 403
        assert "Rome" not in response.text
    assert forget(browser, mine, one, confirmed="1").status_code == 403
    assert LIST not in browser.get(reverse("admin:index")).text
    assert mine.entries.exists()
    assert not looks().exists()


def test_an_admin_of_another_workspace_sees_none_of_it(other_workspace, mine, note, page):
    one = note("Lives in Rome.", slot="home")
    browser = browser_of(person(other_workspace, "admin", Role.ADMIN))
    assert page not in browser.get(LIST).text
    assert browser.get(page).status_code == 302
    assert browser.get(entry_page(one)).status_code == 404
    assert forget(browser, mine, one, confirmed="1").status_code == 404
    assert mine.entries.exists()


@pytest.mark.parametrize("query", ["layer=x", "status=x", "before=x", "q=" + "x" * 999, "q=%F0%9F%8F%B3&before=1"])
def test_a_strange_address_is_no_fault(browser, note, page, query):
    note("Lives in Rome.", slot="home")
    assert browser.get(f"{page}?{query}").status_code == 200


def test_how_vectors_stand_is_told_here_in_the_api_and_on_the_first_page(
    browser, note, page, settings, owner, client_of
):
    note("Lives in Rome.", slot="home")
    assert "1 memory waits" in browser.get(LIST).text
    assert "1 memories wait" in browser.get(reverse("admin:index")).text
    assert client_of(owner).get("/v1/ai/info").json()["embedder"] == "ready"
    settings.EMBEDDER = "none"
    assert client_of(owner).get("/v1/ai/info").json()["embedder"].startswith("off")
    for address in (LIST, page):
        assert "words alone" in browser.get(address).text
    assert "off: " in browser.get(reverse("admin:index")).text
