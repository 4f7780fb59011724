"""E-mails about somebody's own account, until they are sent."""

from django.db import models
from django.db.models.functions import Now

from core import ids
from core.sealed import SealedTextField


class Letter(models.Model):
    """One e-mail to one person. It may carry a link that opens their account, so its text is sealed."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    to = models.EmailField(max_length=254)
    subject = models.CharField(max_length=300)
    text = SealedTextField()
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["not_before"], name="letters_by_time")]

    def __str__(self) -> str:
        return self.subject
