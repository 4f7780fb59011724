"""E-mails tell approvers what is asked, link to its page, and let nothing that a model wrote style or mislead."""

import re
import smtplib
from datetime import UTC, datetime
from email import message_from_string

import pytest
from django.core import mail

from accounts.services import letters
from approvals import delivery, emails
from approvals.models import OutboxItem
from core import ids
from tests.approvals.telling import due_now, put, told
from tests.servers.threads import bridged

APPROVER = "noor@example.org"
NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)> {{ link }} \u202egnp.exe\u200b http://evil.example/approve"


@pytest.fixture
def deliver(transactional_db):
    """Delivers all that is due."""
    with bridged():
        yield delivery.deliver_due_sync


def composed(type: str = "approval.requested", **payload) -> mail.EmailMultiAlternatives:
    return emails.compose(ids.new(), type, told(**payload), APPROVER, NOW)


def html_of(message: mail.EmailMultiAlternatives) -> str:
    [(html, media)] = message.alternatives
    assert media == "text/html"
    return html


def test_each_approver_gets_an_e_mail_of_their_own(workspace, deliver):
    put(workspace, emails=(APPROVER, "ada@example.org"))
    deliver()
    assert sorted(message.to for message in mail.outbox) == [["ada@example.org"], [APPROVER]]
    assert not [address for message in mail.outbox for address in message.cc + message.bcc]
    assert not OutboxItem.objects.filter(done_at=None).exists()


def test_it_says_what_is_asked_and_links_to_its_page(settings):
    settings.PUBLIC_URL = "https://countersign.example"
    payload = told()
    message = emails.compose(ids.new(), "approval.requested", payload, APPROVER, NOW)
    page = f"https://countersign.example/approvals/{payload['approval_id']}/"
    assert message.subject == "[Countersign] service_restart waits for your decision"
    for text in (message.body, html_of(message)):
        assert page in text
        assert "Restart the service billing." in text
        assert "destructive" in text
        assert "2026-01-06 09:00 UTC, in 1 d" in text
        assert "Mia" in text
        assert "Nothing is decided by opening the page" in text
    links = re.findall(r'(?:href|src|action)="([^"]*)"', html_of(message))
    assert links == [page], "there is nothing else to click or to load"
    assert "<form" not in html_of(message)


@pytest.mark.parametrize(
    ("type", "payload", "heading"),
    [
        ("approval.requested", {"escalated": True}, "was passed on to you"),
        ("approval.decided", {"status": "rejected", "reason": "Not now."}, "was rejected"),
        ("approval.decided", {"status": "approved", "break_glass": True}, "by one person, in an emergency"),
        ("approval.expired", {"status": "expired"}, "nobody decided in time"),
    ],
)
def test_its_subject_says_what_happened(type, payload, heading):
    message = composed(type, decided_by={"id": "1", "name": "Noor"}, **payload)
    assert heading in message.subject
    assert payload.get("reason", "Noor") in message.body


def test_what_a_model_wrote_is_inert_and_all_of_it_is_seen():
    message = composed(summary=HOSTILE, tool=HOSTILE, agent=HOSTILE, reason=HOSTILE)
    html = html_of(message)
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    for text in (html, message.body, message.subject):
        assert "\u202e" not in text
        assert "\u200b" not in text
        assert "http://evil" not in text
    assert "⟨U+202E⟩gnp.exe⟨U+200B⟩" in message.body
    assert "{{ link }}" in message.body


def test_a_line_break_makes_no_header():
    message = composed(tool="x\r\nBcc: everybody@example.org", summary="a\r\nb\n\nc")
    parsed = message_from_string(message.message().as_string())
    assert parsed["Bcc"] is None
    assert "\n" not in message.subject
    assert len([line for line in message.body.splitlines() if line.startswith("What: ")]) == 1


def test_a_long_text_is_cut():
    assert len(composed(summary="x" * 100_000).body) < 2_000


def test_a_repetition_has_the_same_message_id(workspace, deliver, monkeypatch):
    put(workspace, emails=(APPROVER,))
    item, sent = OutboxItem.objects.get(), []
    send = mail.EmailMultiAlternatives.send

    def fail_first(message, *args, **options):
        sent.append(message.extra_headers["Message-ID"])
        if len(sent) == 1:
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
        return send(message, *args, **options)

    monkeypatch.setattr(mail.EmailMultiAlternatives, "send", fail_first)
    deliver()
    item.refresh_from_db()
    assert (item.done_at, item.failed_at, item.attempts) == (None, None, 1)
    assert "SMTPServerDisconnected" in item.error
    due_now()
    deliver()
    assert sent[0] == sent[1]
    assert str(item.pk) in sent[0]
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(("code", "final"), [(550, True), (451, False)])
def test_an_address_that_is_refused_for_good_is_given_up(workspace, deliver, monkeypatch, code, final):
    def refuse(message, *args, **options):
        raise smtplib.SMTPRecipientsRefused({APPROVER: (code, b"no")})

    monkeypatch.setattr(mail.EmailMultiAlternatives, "send", refuse)
    put(workspace, emails=(APPROVER,))
    deliver()
    item = OutboxItem.objects.get()
    assert (item.failed_at is not None, item.status_code) == (final, code)


def test_a_mail_server_that_is_away_is_tried_again(workspace, deliver, settings):
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
        "django.core.mail.backends.smtp.EmailBackend",
        "127.0.0.1",
        1,
    )
    put(workspace, emails=(APPROVER,))
    deliver()
    item = OutboxItem.objects.get()
    assert (item.done_at, item.failed_at) == (None, None)
    assert "ConnectionRefusedError" in item.error


def test_without_a_mail_server_a_letter_is_said_to_be_in_the_log_and_not_delivered(
    workspace, deliver, settings, owner, browser, capsys
):
    put(workspace, emails=(APPROVER,))
    deliver()
    settings.EMAIL_BACKEND = letters.PRINTED
    put(workspace, emails=("ada@example.org",))
    deliver()
    assert "To: ada@example.org" in capsys.readouterr().out
    sent, logged = OutboxItem.objects.order_by("pk")
    assert (bool(sent.done_at), sent.error) == (bool(logged.done_at), "") == (True, "")
    admin = browser(owner)
    page = admin.get("/admin/approvals/outboxitem/").text
    assert re.findall(r"(?i)>\s*(delivered|written to the log)\s*<", page) == ["written to the log", "delivered"]
    page = admin.get(f"/admin/approvals/outboxitem/{logged.pk}/change/").text
    assert "No mail server is set (EMAIL_HOST)" in page
