"""An account that is erased: what goes with it, and whom it does not free."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

from accounts.models import Actor, Role, User
from approvals.models import AuditEvent, AuditPayload, Decision
from approvals.services import approvals
from approvals.services.admission import AlreadyVoted
from chat.services import leaving
from core.ledger import SYSTEM
from tests.approvals.conftest import desk  # noqa: F401  a fixture
from tests.approvals.desk import request
from tests.cast import person


def test_second_factors_go_without_a_word_of_whose_they_were(owner, member):
    TOTP.activate(member.user, generate_totp_secret())
    leaving.erase(member.user, by=SYSTEM)
    assert not Authenticator.objects.exists()
    assert not AuditEvent.objects.filter(type="mfa.removed").exists()
    told = "".join(f"{one.data}" for one in AuditPayload.objects.all())
    assert member.user.email not in told


@pytest.mark.parametrize("erased", ["first", "second"])
def test_erasing_one_account_of_a_person_does_not_free_the_other_to_decide(
    desk,  # noqa: F811
    member,
    owner,
    erased,
):
    first = person(member.workspace, "first", Role.MANAGER)
    second = person(member.workspace, "second", Role.MANAGER)
    User.objects.filter(pk=second.user.pk).update(same_person_as=first.user)
    second.user.refresh_from_db()
    voting, other = (first, second) if erased == "first" else (second, first)
    both = request(desk, member, quorum_approve=2)
    approvals.decide(both.pk, by=voting, decision=Decision.APPROVE)
    leaving.erase(voting.user, by=SYSTEM)
    other = Actor(User.objects.get(pk=other.user.pk), other.workspace, other.membership)
    with pytest.raises(AlreadyVoted):
        approvals.decide(both.pk, by=other, decision=Decision.APPROVE)
    assert approvals.decide(both.pk, by=owner, decision=Decision.APPROVE).status == "pending", "who left has no say"
