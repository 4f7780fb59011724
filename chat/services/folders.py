"""Folders in which people keep their conversations: their own, and nobody else's."""

from typing import Any
from uuid import UUID

from accounts.models import Actor
from chat.models import Conversation, Folder
from chat.services.conversations import UnknownSession
from core.errors import Conflict, NotFound

MOST = 200  # of a person


class UnknownFolder(NotFound):
    """No folder of the caller's has this id."""

    code = "unknown_folder"
    title = "There is no such folder"


class TooManyFolders(Conflict):
    """The person has as many folders as they may."""

    code = "too_many_folders"
    default_detail = f"You have {MOST} folders, which is as many as a person may. Delete one first."


def mine(*, by: Actor) -> list[Folder]:
    """The caller's folders, by name."""
    return list(Folder.objects.visible_to(by).order_by("name", "id"))


def get(folder_id: UUID, *, by: Actor) -> Folder:
    """The caller's folder; raises UnknownFolder."""
    found: Folder | None = Folder.objects.visible_to(by).filter(pk=folder_id).first()
    if found is None:
        raise UnknownFolder(f"No folder {folder_id} is yours. GET /api/chat/folders lists them.")
    return found


def create(*, by: Actor, name: str, color: str = "") -> Folder:
    """A new folder; raises TooManyFolders."""
    if Folder.objects.visible_to(by).count() >= MOST:
        raise TooManyFolders
    return Folder.objects.create(workspace=by.workspace, user=by.user, name=name, color=color)


def change(folder: Folder, **changes: Any) -> None:
    """Give it another `name`, another `color`, or both; raises UnknownFolder."""
    if not Folder.objects.filter(pk=folder.pk).update(**changes):
        raise UnknownFolder("The folder was deleted meanwhile.")


def delete(folder: Folder) -> None:
    """Remove it; the conversations in it stay, in none."""
    folder.delete()


def put(conversation: Conversation, folder: Folder | None) -> None:
    """Keep the conversation in a folder of the same person, or in none; raises UnknownSession."""
    if not Conversation.objects.filter(pk=conversation.pk).update(folder=folder):
        raise UnknownSession("The session was deleted meanwhile.")
