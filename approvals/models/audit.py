"""The log that proves it."""

from django.db import models
from django.db.models import Q

from accounts.models import Workspace
from approvals.querysets import AuditEventQuerySet
from core import ids


class ActorKind(models.TextChoices):
    """Who did what an audit event tells of."""

    PERSON = "person", "Person"
    AGENT = "agent", "Agent"
    SYSTEM = "system", "System"


class AuditEvent(models.Model):
    """One row of the audit log; never changed, never deleted (triggers see to it).

    What may have to be erased stands in its payload; `commitment` is SHA-256 over the payload's salt and text, so that
    the chain holds without it. The workspace is no constraint: its log outlives it.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    type = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.UUIDField(null=True)
    person_id = models.UUIDField(null=True, help_text="On whose behalf; a person's own.")
    agent_id = models.UUIDField(null=True)
    session_id = models.UUIDField(null=True)
    target_kind = models.CharField(max_length=30, blank=True)
    target_id = models.UUIDField(null=True)
    at = models.DateTimeField(help_text="When, by the database's clock.")
    commitment = models.BinaryField(max_length=32)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["workspace", "-id"], name="audit_of_workspace"),
            models.Index(fields=["workspace", "type", "-id"], name="audit_by_type"),
            models.Index(fields=["workspace", "actor_id", "-id"], name="audit_by_actor"),
            models.Index(
                fields=["workspace", "person_id", "-id"], condition=~Q(person_id=None), name="audit_of_person"
            ),
            models.Index(
                fields=["workspace", "session_id", "-id"], condition=~Q(session_id=None), name="audit_of_session"
            ),
            models.Index(fields=["workspace", "agent_id", "-id"], condition=~Q(agent_id=None), name="audit_of_agent"),
            models.Index(fields=["target_id"], name="audit_of_target"),
            # For what somebody seldom or never does: without them a search in vain reads all that they ever did.
            models.Index(fields=["workspace", "actor_id", "type", "-id"], name="audit_by_actor_type"),
            models.Index(fields=["workspace", "actor_id", "agent_id", "-id"], name="audit_by_actor_agent"),
            models.Index(
                fields=["workspace", "person_id", "type", "-id"],
                condition=~Q(person_id=None),
                name="audit_of_person_type",
            ),
            models.Index(
                fields=["workspace", "agent_id", "type", "-id"], condition=~Q(agent_id=None), name="audit_of_agent_type"
            ),
        ]
        verbose_name = "event"
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class AuditPayload(models.Model):
    """What an event tells in full, as canonical JSON; gone once it was erased."""

    event = models.OneToOneField(
        AuditEvent, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="payload"
    )
    salt = models.BinaryField(max_length=16)
    data = models.TextField()

    def __str__(self) -> str:
        return str(self.event_id)


class AuditUnsealed(models.Model):
    """An event that has no place in the chain yet: inserted with it, deleted with its sealing."""

    pk = models.CompositePrimaryKey("workspace_id", "event_id")
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    event = models.ForeignKey(
        AuditEvent, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )

    def __str__(self) -> str:
        return str(self.event_id)


class AuditSeal(models.Model):
    """An event's place in its workspace's chain: `hash` is over the hash before it, `seq`, the event and commitment."""

    event = models.OneToOneField(
        AuditEvent, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="seal"
    )
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    seq = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "seq"], name="one_seal_per_place")]

    def __str__(self) -> str:
        return f"{self.seq} of {self.workspace_id}"


class AuditHead(models.Model):
    """The chain's end at a moment, signed (Ed25519); the copy outside of the database is what proves a cut tail."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    seq = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)
    signed_at = models.DateTimeField()
    key_id = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "seq"], name="one_head_per_place")]

    def __str__(self) -> str:
        return f"head {self.seq} of {self.workspace_id}"
