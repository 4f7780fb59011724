"""What a person is shown of an MCP server's tool before they accept it, and says of it; the same in every door."""

import difflib
import json
from collections.abc import Sequence

from django import forms

from accounts.pages.forms import SeenForm
from agents.models import McpTool
from agents.models.described import RetryClass
from approvals.models import Risk

MOST_LINES = 5_000  # of two definitions that are compared; more are shown, and not compared


class AcceptForm(SeenForm):
    """What a person makes of a definition."""

    anew = ("risk", "retry")  # proposed by the definition that is looked at
    definition = forms.CharField(widget=forms.HiddenInput, max_length=64)
    risk = forms.ChoiceField(choices=Risk.choices, help_text="What a call of it can do at worst. The rules go by this.")
    retry = forms.ChoiceField(choices=RetryClass.choices, label="When a call is made twice")


def difference(tool: McpTool) -> str:
    """What changed since it was accepted, line by line, and all of it where it never was: what is accepted is read."""
    before, after = (json.dumps(one, indent=1, sort_keys=True).splitlines() for one in (tool.accepted, tool.offered))
    return changes(before if tool.accepted else [], after)


def changes(before: Sequence[str], after: Sequence[str]) -> str:
    """The lines that differ, with a line around them; all of `after` where there was nothing, or far too much."""
    if not before or len(before) + len(after) > MOST_LINES:
        return "\n".join(after)
    lines = list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]  # after the names of the two
    return "\n".join(line for line in lines if not line.startswith("@@"))
