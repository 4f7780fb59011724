"""Who stands behind what a run does: one answer for requests, for what is remembered, and for the last gate.

Who of them may countersign it nevertheless is for `rights.barred` to say (docs/decisions/0019).
"""

from uuid import UUID

from django.db.models import Q

from agents.services import authors
from approvals.calls import Behind
from chat.models import Conversation, Run


def of(run: Run) -> Behind:
    """Who speaks, whose keys it came by, and who wrote what it was told; and the same of the runs that it works within.

    In the background nobody asks but the text: whose that is stands in `behind_ids` since the run began.
    """
    asked: set[UUID | None] = set()
    wrote: set[UUID] = set()
    one: Run | None = run
    while one is not None:
        person_id = one.conversation.user_id
        asked |= {person_id, one.behind_id, *one.behind_ids, *_spoke(one.conversation)}
        wrote |= {*one.author_ids, *(authors.of(one.agent, one.agent_version) if person_id else ())}
        one = one.parent
    people = frozenset(user_id for user_id in asked if user_id)
    return Behind(asked=people, wrote=frozenset(wrote) - people)


def _spoke(conversation: Conversation) -> set[UUID | None]:
    """Who spoke in a conversation beside its person, in whichever message: a model is told the earlier ones too."""
    rows = Run.objects.filter(~Q(behind=None) | ~Q(behind_ids=[]), conversation=conversation)
    found = rows.values_list("behind_id", "behind_ids").distinct()
    return {*conversation.speaker_ids, *(user_id for key_maker, others in found for user_id in (key_maker, *others))}
