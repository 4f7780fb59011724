"""Images of messages in a bucket: written, read and removed over S3, and what becomes of messages where it refuses."""

import runpy
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

from chat import pictures
from chat.models import Attachment, Conversation, Message
from chat.services import attachments
from config import bootstrap
from tests.pictures import opened, sent
from tests.servers import s3_server

BUCKET = "kept"
CHAT = "/v1/ai/chat"
SETTINGS = str(bootstrap.BASE_DIR / "config" / "settings.py")


@pytest.fixture(scope="module")
def server():
    with s3_server.running() as server:
        yield server


@pytest.fixture(autouse=True)
def bucket(server, settings, monkeypatch):
    """The attachments' storage as the settings have it for a bucket, which is there."""
    for name, value in s3_server.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ATTACHMENTS_S3_BUCKET", BUCKET)
    monkeypatch.setenv("ATTACHMENTS_S3_ENDPOINT", server.endpoint)
    monkeypatch.setenv("ATTACHMENTS_S3_REGION", s3_server.REGION)
    shipped = runpy.run_path(SETTINGS)["STORAGES"]["attachments"]
    settings.STORAGES = {**settings.STORAGES, "attachments": shipped}
    pictures.forget()
    server.make(BUCKET)
    yield
    server.deny(BUCKET)
    for name in server.names(BUCKET):
        server.client.delete_object(Bucket=BUCKET, Key=name)
    server.client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def send(api, smart_home):
    """Sends a message with an image; gives the answer, which is streamed and not read."""

    def post(**more):
        body = {"message": "What is this?", "companion": "smart-home", "model": "rehearsal", "stream": True, **more}
        return api.post(CHAT, {**body, "attachments": [sent()]})

    return post


def image() -> str:
    return f"/v1/ai/attachments/{Attachment.objects.get().pk}"


def problem(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_an_image_is_written_read_and_removed(send, api, server, django_capture_on_commit_callbacks):
    assert send().status_code == 200
    kept = Attachment.objects.get()
    assert server.names(BUCKET) == [kept.file]
    shown = api.get(image())
    assert (shown.status_code, shown["Content-Type"], opened(shown.content).size) == (200, "image/png", (64, 48))
    assert set(pictures.read([str(kept.pk)])) == {str(kept.pk)}
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/v1/ai/sessions/{kept.conversation_id}").status_code == 204
    assert server.names(BUCKET) == []


def test_an_object_that_is_lost_is_not_found(send, api, server):
    send()
    server.client.delete_object(Bucket=BUCKET, Key=Attachment.objects.get().file)
    assert problem(api.get(image())) == (404, "unknown_attachment")


@pytest.mark.parametrize("what", ["no bucket", "denied"])
def test_what_cannot_be_written_is_a_503_and_can_be_sent_again(send, server, what):
    if what == "denied":
        server.deny(BUCKET, "PutObject")
    else:
        server.client.delete_bucket(Bucket=BUCKET)
    answer = send()
    assert problem(answer) == (503, "storage_unavailable")
    assert "Send the message again" in answer.json()["detail"]
    assert not Message.objects.exists()
    assert not Conversation.objects.exists()
    if what == "denied":
        server.deny(BUCKET)
    else:
        server.make(BUCKET)
    assert send().status_code == 200
    assert server.names(BUCKET) == [Attachment.objects.get().file]


def test_what_cannot_be_read_now_is_a_503_and_the_message_stays(send, api, server):
    send()
    server.deny(BUCKET, "GetObject")
    assert problem(api.get(image())) == (503, "storage_unavailable")
    with pytest.raises(attachments.StorageUnavailable):
        pictures.read([str(Attachment.objects.get().pk)])
    session = api.get(f"/v1/ai/sessions/{Conversation.objects.get().pk}").json()
    assert [part["type"] for part in session["messages"][0]["parts"]] == ["image", "text"]
    server.deny(BUCKET)
    assert api.get(image()).status_code == 200


def test_an_object_that_cannot_be_removed_now_is_swept_later(send, api, server, django_capture_on_commit_callbacks):
    send()
    server.deny(BUCKET, "DeleteObject")
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/v1/ai/sessions/{Conversation.objects.get().pk}").status_code == 204
    assert len(server.names(BUCKET)) == 1
    server.deny(BUCKET)
    assert attachments.sweep() == 0  # it is too young
    assert attachments.sweep(datetime.now(UTC) + timedelta(hours=2)) == 1
    assert server.names(BUCKET) == []


def test_a_sweep_leaves_what_has_a_row_and_gives_up_where_there_is_no_bucket(send, server):
    send()
    attachments.storage().save("2026-01-01/orphan.png", ContentFile(b"x"))
    assert attachments.sweep(datetime.now(UTC) + timedelta(hours=2)) == 1
    assert server.names(BUCKET) == [Attachment.objects.get().file]
    server.client.delete_object(Bucket=BUCKET, Key=Attachment.objects.get().file)
    server.client.delete_bucket(Bucket=BUCKET)
    assert attachments.sweep() == 0
    server.make(BUCKET)


def test_a_server_that_is_not_there_is_a_503(send, settings):
    options = {**settings.STORAGES["attachments"]["OPTIONS"], "endpoint_url": "http://127.0.0.1:9"}
    settings.STORAGES = {**settings.STORAGES, "attachments": {**settings.STORAGES["attachments"], "OPTIONS": options}}
    assert problem(send()) == (503, "storage_unavailable")
    assert not Message.objects.exists()


def test_a_bucket_without_its_libraries_is_refused_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "storages.backends.s3", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install \"countersign\[s3\]\""):
        runpy.run_path(SETTINGS)
