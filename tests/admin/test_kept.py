"""Images and summaries in the admin: what is told of them, and what is not."""

from collections.abc import Callable

import pytest
from django.core.files.base import ContentFile
from django.test import Client

from accounts.models import Role
from chat.models import Attachment, Compaction, Message
from chat.services import attachments, links
from tests.admin.conftest import HOSTILE, Home, url
from tests.pictures import encoded, picture, saved

Staff = Callable[[Role], Client]


@pytest.mark.parametrize("page", ["changelist", "change"])
def test_an_image_is_told_of_and_its_picture_is_not_shown(page: str, here: Home, staff: Staff) -> None:
    data = saved(picture())
    image = here[Attachment]
    assert attachments.storage().save(image.file, ContentFile(data)) == image.file
    args = [image.pk] if page == "change" else []
    shown = staff(Role.AUDITOR).get(url(Attachment, page, *args)).text
    for told in ("image/png", "64 × 48", "2.0\xa0KB"):
        assert told in shown
    assert encoded(data)[:40] not in shown
    for attribute in ("src", "href"):
        assert f'{attribute}="{links.PATH}' not in shown
    assert (f"{links.PATH}{image.pk}" in shown) == (page == "change")


def test_the_images_of_a_message_are_found_by_its_id(here: Home, staff: Staff) -> None:
    client, address = staff(Role.MANAGER), url(Attachment, "change", here[Attachment].pk)
    listed = url(Attachment, "changelist")
    assert address in client.get(f"{listed}?q={here[Message].pk}").text
    assert address not in client.get(f"{listed}?q={here[Compaction].pk}").text


def test_a_summary_is_read_on_its_page_and_not_in_the_list(here: Home, staff: Staff) -> None:
    client = staff(Role.AUDITOR)
    assert "here sums up" not in client.get(url(Compaction, "changelist")).text
    page = client.get(url(Compaction, "change", here[Compaction].pk)).text
    assert '<div class="plain">here sums up &lt;script&gt;' in page
    assert HOSTILE not in page
