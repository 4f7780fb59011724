"""What people settle about models: the one that they prefer."""

from accounts.models import Actor, Membership
from agents import brain


def prefer(actor: Actor, model: str) -> Membership:
    """Keep the model that the caller wants by default, empty for none; raises UnknownModel, BrainUnavailable."""
    if model:
        brain.require(actor.workspace, model, user_id=actor.user.pk)
    actor.membership.preferred_model = model
    actor.membership.save(update_fields=["preferred_model"])
    return actor.membership
