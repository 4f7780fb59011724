"""A request in the form that Google's Gemini API takes. Pure.

Its rules: a call of functions stands right after the user's words or another's results, and its results, as many as
there were calls, right after it; no text is blank; and what was signed goes back where it was, as it came.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from agents.providers import google_schema, profiles
from agents.providers.base import ANY_TOOL, ChatMessage, ChatRequest, Options, ProviderSpec, ToolDefinition

LEFT_OUT = "…"  # in the place of a user's words that a conversation began with and that are not told any more
UNSIGNED = "skip_thought_signature_validator"  # what is sent for a call that another model asked for
_SIGNS = re.compile(r"gemini-(?:[3-9]|\d\d)")  # those that refuse calls without a signature
_NO_NAME = re.compile(r"[^a-zA-Z0-9_.-]")
Part = dict[str, Any]


def body(request: ChatRequest, spec: ProviderSpec, *, reduced: bool = False) -> bytes:
    """The request as JSON, with what was kept for this provider; `reduced`: with simpler schemas of the tools."""
    said: Part = {"contents": _contents(request, spec)}
    own = [one.content for one in request.messages if one.role == "system"]
    if system := [{"text": words} for words in (request.system, *own) if words.strip()]:
        said["systemInstruction"] = {"parts": system}
    if request.tools:
        said["tools"] = [{"functionDeclarations": [_tool(one, reduced=reduced) for one in request.tools]}]
        if asked := request.options.call:
            only = {} if asked == ANY_TOOL else {"allowedFunctionNames": [asked]}
            said["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", **only}}
    wanted = _options(request.options)
    if "reasoning" in profiles.profile(request.model).capabilities:
        wanted["thinkingConfig"] = {"includeThoughts": True}
    if request.most_tokens is not None:  # thoughts among them
        wanted["maxOutputTokens"] = request.most_tokens
    if wanted:
        said["generationConfig"] = wanted
    return msgspec.json.encode(said)


def _options(asked: Options) -> Part:
    said = {"temperature": asked.temperature, "topP": asked.top_p, "stopSequences": asked.stop or None}
    return {name: value for name, value in said.items() if value is not None}


def _tool(offered: ToolDefinition, *, reduced: bool) -> Part:
    """A tool; one that takes nothing must not have a schema that is empty."""
    told: Part = {"name": offered.name, "description": offered.description}
    if offered.parameters.get("properties"):
        if reduced:
            told["parameters"] = google_schema.reduced(offered.parameters)
        else:
            told["parametersJsonSchema"] = offered.parameters
    return told


def _contents(request: ChatRequest, spec: ProviderSpec) -> list[Part]:
    """The conversation, neighbours of one role in one content."""
    contents: list[Part] = []
    signs = bool(_SIGNS.search(request.model))
    for said in request.messages:
        role = "model" if said.role == "assistant" else "user"
        parts = [] if said.role == "system" else list(_parts(said, spec, signs=signs))
        if not parts:
            continue
        if not contents and role == "model":
            contents.append({"role": "user", "parts": [{"text": LEFT_OUT}]})
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _parts(said: ChatMessage, spec: ProviderSpec, *, signs: bool) -> Iterator[Part]:
    """What an entry of the conversation says, in their format."""
    if said.role == "tool":
        given = {"id": said.call_id, "name": _name(said.name), "response": {"output": said.content}}
        yield {"functionResponse": given}
        return
    for image in said.images:
        yield {"inlineData": {"mimeType": image.media_type, "data": image.data}}
    kept = said.kept_for(spec) or {"parts": [], "calls": [UNSIGNED] if signs else []}
    yield from _spoken(said.content, kept["parts"])
    for place, call in enumerate(said.calls):
        asked = {"id": call.call_id, "name": _name(call.name), "args": call.arguments or {}}
        signature = kept["calls"][place] if place < len(kept["calls"]) else ""
        yield {"functionCall": asked, **({"thoughtSignature": signature} if signature else {})}


def _spoken(text: str, kept: list[Part]) -> Iterator[Part]:
    """The text, with thoughts and signed pieces where they were; nothing blank but what is signed."""
    begin = 0
    for one in kept:
        if (before := text[begin : one["at"]]).strip():
            yield {"text": before}
        part = one["part"]
        begin = one["at"] + (0 if part.get("thought") else len(part["text"]))
        yield part
    if text[begin:].strip():
        yield {"text": text[begin:]}


def _name(name: str) -> str:
    """The name as theirs may be: another provider's model may have called what no tool can be called."""
    name = _NO_NAME.sub("_", name)[:64]
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name[:63]}"
