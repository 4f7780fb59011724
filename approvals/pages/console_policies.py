"""Policies in plain words: their order and switches; what a rule says in full is the admin's to edit and simulate."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from accounts.models import Actor
from accounts.pages import console
from accounts.pages.forms import SeenForm
from approvals import shown
from approvals.models import Effect, Policy, PolicyVersion
from approvals.services import endings, policies
from approvals.terms import in_words

POLICIES = "policies"


class BeforeForm(SeenForm):
    """Before which policy another one is put: the one that stood before it when it was looked at."""

    before = forms.UUIDField(widget=forms.HiddenInput)


@console.reads(POLICIES)
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The policies in their order, each in a sentence."""

    def found(search: str) -> Any:
        rows = _rows(actor)
        return rows.filter(Q(name__icontains=search) | Q(tool__icontains=search)) if search else rows

    listed = console.listed(request, found)
    rows = [{"policy": row, "says": sentence(row), "effect": Effect(row.effect).label} for row in listed.rows]
    newest = PolicyVersion.objects.visible_to(actor).defer("rules").select_related("author").order_by("-version")
    context = {"list": listed, "policies": rows, "version": newest.first()}
    return console.render(request, actor, POLICIES, "console/policies.html", context)


@console.changes(POLICIES)
def switch(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then switch a policy on or off, as the workspace's next version."""
    policy = _policy(actor, pk)
    return console.switch(
        request,
        actor,
        POLICIES,
        lambda enabled: policies.switch(policy.pk, enabled=enabled, by=actor),
        what=policy.name,
        on=policy.enabled,
        text=f"{sentence(policy)} Requests that wait, and that the rules judge otherwise then, are ended.",
    )


@console.changes(POLICIES)
def earlier(request: HttpRequest, actor: Actor, pk: str) -> HttpResponse:
    """Ask, then put a policy before the one that stands before it."""
    policy, rows = _policy(actor, pk), list(_rows(actor))
    place = rows.index(policy)
    if place == 0:
        messages.info(request, f"{policy.name} is the first already.")
        return HttpResponseRedirect(console.SECTIONS[POLICIES].path)
    before = rows[place - 1]

    def put(given: dict[str, Any]) -> str:
        policies.put_before(policy.pk, before=given["before"], by=actor)
        return f"{policy.name} comes before {before.name} now."

    text = "Of several rules that ask, the first says whom and how. Denying wins over asking, and asking over allowing"
    return console.act(
        request,
        actor,
        POLICIES,
        put,
        form=BeforeForm(console.sent(request), initial={"before": before.pk}),
        title=f"Put {policy.name} before {before.name}",
        text=f"{text}, whatever the order.",
        button="Put it there",
    )


def sentence(policy: Policy) -> str:
    """What a policy says, in a sentence."""
    effect = {
        Effect.ALLOW: "Let it run",
        Effect.DENY: "Refuse it",
        Effect.ASK: f"Ask {in_words(policy.quorum_approve, _whom(policy))} within {shown.span(policy.request_lasts)}",
    }[Effect(policy.effect)]
    who = "any agent" if policy.agent == "*" else f"the agent {policy.agent}"
    what = "anything" if policy.tool == "*" else policy.tool
    parts = [f"{effect}, when {who} calls {what}"]
    if policy.companion != "*":
        parts.append(f"as the companion {policy.companion}")
    if policy.risks:
        parts.append(f"of risk {' or '.join(policy.risks)}")
    if policy.condition:
        parts.append(f"if {policy.condition}")
    if policy.valid_until:
        parts.append(f"until {policy.valid_until:%Y-%m-%d %H:%M} UTC")
    return f"{', '.join(parts)}."


def _whom(policy: Policy) -> list[str]:
    names = [*(f"{role}s" for role in policy.approver_roles), *(str(one) for one in policy.approver_groups.all())]
    return names + [endings.told_apart(one) for one in policy.approver_people.all()]


def _rows(actor: Actor) -> Any:
    rows = Policy.objects.visible_to(actor).prefetch_related("approver_groups", "approver_people")
    return rows.order_by("priority", "name")


def _policy(actor: Actor, pk: str) -> Policy:
    found: Policy | None = _rows(actor).filter(pk=pk).first()
    if found is None:
        raise console.Gone
    return found
