"""Images of messages: kept with them, shown to those who see the conversation, gone with it; nothing is left behind."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from rest_framework.exceptions import ValidationError

from chat import consumers
from chat.models import Attachment, Conversation, Message, Run
from chat.services import attachments, conversations, housekeeping, runs
from core import images
from core.errors import Conflict, Invalid
from tests.pictures import opened, picture, saved, sent

CHAT = "/v1/ai/chat"
PNG = saved(picture())


@pytest.fixture(autouse=True)
def kept(tmp_path, settings):
    """The folder of attachments."""
    options = {"location": tmp_path, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "attachments": backend}
    return tmp_path


@pytest.fixture
def send(api, smart_home):
    """Sends a message; gives the answer, which is streamed and not read."""

    def post(*images: dict, **more):
        body = {"message": "What is this?", "companion": "smart-home", "model": "rehearsal", "stream": True, **more}
        return api.post(CHAT, {**body, "attachments": list(images)})

    return post


def files(folder) -> list:
    return [found for found in folder.rglob("*") if found.is_file()]


def refused(answer) -> tuple[int, str, str]:
    [error] = answer.json()["errors"]
    return answer.status_code, error["field"], error["code"]


def test_an_image_is_kept_with_its_message_and_shown_in_the_session(send, api, kept):
    answer = send(sent(saved(picture(3_000, 1_500), "JPEG", comment=b"secret"), "image/jpeg"), sent())
    assert answer.status_code == 200, answer.content
    message = Message.objects.get()
    assert [part["type"] for part in message.parts] == ["image", "image", "text"]
    first, second = Attachment.objects.order_by("pk")
    assert message.parts[0] == {
        "type": "image",
        "attachment_id": str(first.pk),
        "media_type": "image/jpeg",
        "width": 2_000,
        "height": 1_000,
        "url": f"/v1/ai/attachments/{first.pk}",
    }
    assert (second.message, second.conversation, second.workspace) == (
        message, message.conversation, message.workspace,
    )  # fmt: skip
    assert len(files(kept)) == 2
    shown = api.get(f"/v1/ai/sessions/{message.conversation_id}").json()["messages"][0]
    unsigned = [{**one, "url": one["url"].partition("?")[0]} if "url" in one else one for one in shown["parts"]]
    assert unsigned == message.parts
    assert shown["content"] == "What is this?"


def test_the_image_is_served_with_headers_that_let_nothing_in_it_run(send, api):
    send(sent())
    attachment = Attachment.objects.get()
    answer = api.get(f"/v1/ai/attachments/{attachment.pk}")
    assert answer.status_code == 200
    assert (answer["Content-Type"], opened(answer.content).size) == ("image/png", (64, 48))
    assert answer["Content-Disposition"] == f'inline; filename="{attachment.pk}.png"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cache-Control"] == "private, no-store"
    assert len(answer.content) == attachment.size


def test_nobody_else_sees_it(send, client_of, owner, manager, stranger):
    send(sent())
    attachment = Attachment.objects.get()
    for other in (owner, manager, stranger):
        answer = client_of(other).get(f"/v1/ai/attachments/{attachment.pk}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_attachment")


def test_an_image_whose_file_is_lost_is_not_found(send, api, kept):
    send(sent())
    files(kept)[0].unlink()
    assert api.get(f"/v1/ai/attachments/{Attachment.objects.get().pk}").status_code == 404


def test_file_and_folder_are_readable_by_their_owner_alone_and_named_by_us(send, kept):
    send(sent())
    [file] = files(kept)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.name == f"{Attachment.objects.get().pk}.png"


BAD = {
    "html": (sent(b"<script>alert(1)</script>"), "attachments.1.data", "not_an_image"),
    "svg": (sent(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), "attachments.1.data", "not_an_image"),
    "polyglot": (sent(PNG + b"<script>alert(1)</script>"), "attachments.1.data", "not_an_image"),
    "another type": (sent(PNG, "image/jpeg"), "attachments.1.media_type", "mismatch"),
    "cut": (sent(PNG[:40], "image/png"), "attachments.1.data", "not_an_image"),
    "no base64": ({**sent(), "data": "%%%%"}, "attachments.1.data", "bad_base64"),
    "bomb": (sent(saved(picture(13_000, 13_000, "1", 0))), "attachments.1.data", "too_many_pixels"),
    "an unknown type": (sent(PNG, "image/svg+xml"), "attachments.1.media_type", "invalid_choice"),
    "no image": ({**sent(), "type": "file"}, "attachments.1.type", "invalid_choice"),
    "an address": ({**sent(), "url": "http://127.0.0.1/"}, "attachments.1.url", "unknown_field"),
    "a name": ({**sent(), "name": "../../x"}, "attachments.1.name", "unknown_field"),
    "a number": ({**sent(), "data": 5}, "attachments.1.data", "wrong_type"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_image_is_refused_by_its_field_and_leaves_nothing(send, kept, what):
    image, field, code = BAD[what]
    assert refused(send(sent(), image)) == (400, field, code)
    assert not Message.objects.exists()
    assert not Conversation.objects.exists()
    assert not files(kept)


def test_more_images_than_a_message_may_have_are_refused(send, kept):
    assert refused(send(*[sent()] * 9)) == (400, "attachments", "max_length")
    assert not files(kept)


def test_images_that_are_too_large_together_are_refused(monkeypatch):
    monkeypatch.setattr(attachments, "MOST_BYTES", len(PNG) * 3 // 2)
    assert len(attachments.read([sent()])) == 1
    with pytest.raises(Invalid) as caught:
        attachments.read([sent(), sent()])
    assert caught.value.errors[0].field == "attachments.1"


def test_a_message_that_is_refused_for_another_reason_leaves_no_file(send, kept):
    first = send(sent())
    assert first.status_code == 200
    answer = send(sent(), session_id=str(Conversation.objects.get().pk))
    assert (answer.status_code, answer.json()["code"]) == (409, "conversation_busy")
    assert (Attachment.objects.count(), len(files(kept))) == (1, 1)


def test_a_request_that_is_repeated_keeps_one_image(api, smart_home, kept):
    body = {"message": "Look", "companion": "smart-home", "model": "rehearsal", "stream": True, "attachments": [sent()]}
    for _ in range(2):
        assert api.post(CHAT, body, headers={"Idempotency-Key": "one"}).status_code == 200
    assert (Run.objects.count(), Attachment.objects.count(), len(files(kept))) == (1, 1, 1)


def test_images_come_over_a_websocket_too(member, conversation, kept):
    run, _ = consumers.begin(member, conversation.pk, {"message": "Look", "attachments": [sent()]})
    assert [part["type"] for part in run.message.parts] == ["image", "text"]
    assert (Attachment.objects.get().message, len(files(kept))) == (run.message, 1)
    assert len(sent(bytes(images.BYTES_LIMIT))["data"]) < consumers.FRAME_LIMIT
    with pytest.raises(ValidationError):
        consumers.begin(member, conversation.pk, {"message": "Look", "attachments": [{"type": "image"}]})


def test_a_storage_that_is_full_is_a_503_and_nothing_is_stored(send, kept, monkeypatch):
    def full(*_: object, **__: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileSystemStorage, "_save", full)
    answer = send(sent())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert not Message.objects.exists()


@pytest.mark.parametrize("what", ["session", "person", "all sessions"])
def test_with_session_or_person_rows_and_files_go(what, send, api, member, kept, django_capture_on_commit_callbacks):
    send(sent())
    run = Run.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        if what == "session":
            assert api.delete(f"/v1/ai/sessions/{run.conversation_id}").status_code == 204
        elif what == "person":
            member.user.delete()
        else:
            Conversation.objects.filter(workspace=run.workspace_id).delete()
        assert len(files(kept)) == 1  # until it is committed
    assert not Attachment.objects.exists()
    assert not files(kept)


def test_a_deletion_that_is_rolled_back_keeps_the_file(send, kept):
    send(sent())
    Attachment.objects.get().delete()  # within the test's own transaction, which never commits
    assert len(files(kept)) == 1


def test_files_without_a_row_are_swept_after_an_hour_and_others_never(send, kept):
    send(sent())
    orphan = attachments.storage().save("2026-01-01/orphan.png", ContentFile(b"x"))
    assert housekeeping.run() == 0
    assert attachments.sweep(datetime.now(UTC) + timedelta(hours=2)) == 1
    assert not attachments.storage().exists(orphan)
    assert attachments.storage().exists(Attachment.objects.get().file)


def test_a_sweep_before_any_image_came_finds_nothing(db, kept):
    assert attachments.sweep() == 0


def test_a_message_without_images_reads_and_writes_none(api, smart_home, kept):
    answer = api.post(CHAT, {"message": "Hi", "companion": "smart-home", "stream": True, "attachments": []})
    assert answer.status_code == 200
    assert not files(kept)
    assert Message.objects.get().parts == [{"type": "text", "text": "Hi"}]


def test_images_of_a_conversation_that_is_deleted_meanwhile_are_taken_away(member, smart_home, say, kept):
    conversation = conversations.create(smart_home, by=member)
    Conversation.objects.filter(pk=conversation.pk).delete()
    read = attachments.read([sent()])

    def start():
        with attachments.written(read) as images:
            assert len(files(kept)) == 1
            say(into=conversation, images=images)

    with pytest.raises(runs.ChangedMeanwhile):
        start()
    assert not files(kept)


def test_a_message_has_one_place_for_all_its_images_and_does_not_wait_for_one(send, kept):
    with images.place():
        assert send(sent(), sent()).status_code == 200
    with images.place(), images.place():
        answer = send(sent(), message="Again")
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (503, "images_busy", "5")


def test_no_image_is_read_of_a_message_that_no_budget_covers(send, monkeypatch):
    def spent(*_: object) -> None:
        raise Conflict("Spent.")

    monkeypatch.setattr(runs, "check_budgets", spent)
    answer = send(BAD["html"][0])
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
