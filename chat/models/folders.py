"""How people keep their conversations in order: folders."""

from django.db import models
from django.db.models.functions import Now

from accounts.models import User, Workspace
from chat.querysets import FolderQuerySet
from core import ids


class Folder(models.Model):
    """A person's own folder of conversations."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=100)
    color = models.CharField(max_length=30, blank=True, help_text="As the client writes it, such as #2f6fed.")
    created_at = models.DateTimeField(db_default=Now())

    objects = FolderQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["workspace", "user", "name"], name="folders_of_person")]

    def __str__(self) -> str:
        return self.name
