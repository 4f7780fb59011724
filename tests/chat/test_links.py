"""The addresses of images in messages: they open with a key, and without one for a while; each opens one image."""

from datetime import timedelta

import pytest
from django.core import signing
from django.utils import timezone

from accounts.services import keys
from chat.models import Attachment, Message
from tests.cast import Api
from tests.pictures import opened, sent

CHAT = "/v1/ai/chat"
ANYBODY = Api()


@pytest.fixture
def urls(api, smart_home):
    """The addresses of two images of a message, as its session tells them."""
    body = {"message": "Look", "companion": "smart-home", "model": "rehearsal", "stream": True}
    assert api.post(CHAT, {**body, "attachments": [sent(), sent()]}).status_code == 200
    session = api.get(f"/v1/ai/sessions/{Message.objects.get().conversation_id}").json()
    return [part["url"] for part in session["messages"][0]["parts"] if part["type"] == "image"]


def problem(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_the_address_in_a_message_opens_without_a_key_and_lets_nothing_run(urls):
    assert len(set(urls)) == 2
    for url, kept in zip(urls, Attachment.objects.order_by("pk"), strict=True):
        answer = ANYBODY.get(url)
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
        assert opened(answer.content).size == (64, 48)
        assert answer["Content-Disposition"] == f'inline; filename="{kept.pk}.png"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert answer["Cache-Control"] == "private, no-store"


def test_what_is_stored_has_no_signature(urls):
    assert all("signature" not in part.get("url", "") for part in Message.objects.get().parts)


def test_a_signature_opens_no_other_image(urls):
    first, second = (url.partition("?") for url in urls)
    assert problem(ANYBODY.get(f"{first[0]}?{second[2]}")) == (404, "unknown_attachment")


@pytest.mark.parametrize("signature", ["", "x", "1vM8Xk:abc", ":", "::", "1:2:3", "ü", "a" * 100])
def test_a_bad_signature_opens_nothing_to_nobody(urls, signature, client_of, stranger):
    path = urls[0].partition("?")[0]
    for client in (ANYBODY, client_of(stranger)):
        answer = client.get(path, {"signature": signature})
        assert problem(answer) in ((404, "unknown_attachment"), (400, "invalid"))
        assert answer.status_code == 404 or signature == ""


def test_one_that_was_signed_for_something_else_opens_nothing(urls):
    path = urls[0].partition("?")[0]
    other = signing.TimestampSigner(salt="inbox.cursor").sign(path.rpartition("/")[2]).partition(":")[2]
    assert problem(ANYBODY.get(path, {"signature": other})) == (404, "unknown_attachment")


def test_an_address_that_has_expired_opens_with_a_key_alone(urls, api, settings, monkeypatch):
    later = (timezone.now() + timedelta(seconds=settings.ATTACHMENT_URL_SECONDS + 2)).timestamp()
    assert ANYBODY.get(urls[0]).status_code == 200
    monkeypatch.setattr("django.core.signing.time.time", lambda: later)
    assert problem(ANYBODY.get(urls[0])) == (404, "unknown_attachment")
    assert api.get(urls[0]).status_code == 200


def test_with_neither_key_nor_signature_a_key_is_asked_for(urls):
    assert problem(ANYBODY.get(urls[0].partition("?")[0])) == (401, "unauthorized")


def test_a_key_that_may_not_chat_opens_nothing_by_a_bad_signature(urls, member):
    _, secret = keys.create(workspace=member.workspace, user=member.user, name="Audit", scopes=["audit"])
    path = urls[0].partition("?")[0]
    assert problem(Api(secret).get(path, {"signature": "x"})) == (403, "scope_required")
    assert Api(secret).get(urls[0]).status_code == 200  # as without the key


def test_an_image_that_is_gone_is_gone_for_all(urls, api):
    assert api.delete(f"/v1/ai/sessions/{Message.objects.get().conversation_id}").status_code == 204
    assert problem(ANYBODY.get(urls[0])) == (404, "unknown_attachment")
