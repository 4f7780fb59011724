"""Teams: several agents that answer one message together."""

from django.db import models

from accounts.models import Workspace
from agents.models.agents import Agent
from agents.querysets import TeamQuerySet
from core import ids


class ChatMode(models.TextChoices):
    """How the members of a team answer; `auto` chooses one of the others by the message."""

    AUTO = "auto", "Auto"
    BRAINSTORM = "brainstorm", "Brainstorm"
    DEBATE = "debate", "Debate"
    SEQUENTIAL = "sequential", "Sequential"
    EXPERT = "expert", "Expert"
    CONSENSUS = "consensus", "Consensus"


class AgentTeam(models.Model):
    """Several agents that answer in a mode; the lead sums up what they said, and need not be one of them.

    A team that never had a member has no lead.
    """

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="teams")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    chat_mode = models.CharField(max_length=20, choices=ChatMode, default=ChatMode.AUTO)
    lead = models.ForeignKey(Agent, null=True, on_delete=models.PROTECT, related_name="teams_led")
    agents = models.ManyToManyField(Agent, through="TeamMember", related_name="teams")
    enabled = models.BooleanField(default=True, help_text="A team that is off answers nothing.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="one_team_per_slug")]
        verbose_name = "team"

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> str:
        """`active` or `disabled`, as the API says it."""
        return "active" if self.enabled else "disabled"


class TeamMember(models.Model):
    """An agent's place in a team."""

    id = models.BigAutoField(primary_key=True)
    team = models.ForeignKey(AgentTeam, on_delete=models.CASCADE, related_name="members")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="memberships")
    place = models.PositiveSmallIntegerField(default=0, help_text="Lower speaks first.")

    class Meta:
        ordering = ("place", "id")
        constraints = [models.UniqueConstraint(fields=["team", "agent"], name="one_place_per_agent")]

    def __str__(self) -> str:
        return str(self.agent)
