"""The shapes of Google's Gemini API: chunks of its streams, its errors, and its rules for a request."""

import json
import re
from collections.abc import Iterator

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$")
KINDS = {"text", "inlineData", "functionCall", "functionResponse"}
OLD_WORDS = {  # that the older form of a schema knows
    "type", "format", "title", "description", "nullable", "enum", "items", "maxItems", "minItems", "properties",
    "required", "minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf", "default",
}  # fmt: skip


def data(value: object) -> bytes:
    """An event of a stream, with CRLF as Google ends its lines."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\n"


def chunk(*parts: dict, finish: str | None = None, **counts: int) -> bytes:
    """A piece of an answer; each has the counts so far."""
    candidate: dict = {"index": 0}
    if parts:
        candidate["content"] = {"parts": list(parts), "role": "model"}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 10, "totalTokenCount": 10, **counts}
    return data({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"})


def text(*pieces: str) -> bytes:
    """Words, each piece in a chunk of its own."""
    return b"".join(chunk({"text": piece}) for piece in pieces if piece)


def thoughts(*pieces: str) -> bytes:
    """Thoughts, each piece in a chunk of its own."""
    return b"".join(chunk({"text": piece, "thought": True}) for piece in pieces)


def call(name: str, args: dict | None = None, signature: str = "", call_id: str = "") -> dict:
    """A part that calls a function; what is not given is not there."""
    asked = {"name": name, **({} if args is None else {"args": args}), **({"id": call_id} if call_id else {})}
    return {"functionCall": asked, **({"thoughtSignature": signature} if signature else {})}


def end(reason: str = "STOP", **counts: int) -> bytes:
    """The last chunk."""
    usage = {"candidatesTokenCount": 5, "thoughtsTokenCount": 2, **counts}
    return chunk({"text": ""}, finish=reason, **usage)


def error(code: int, status: str, message: str, *details: dict) -> bytes:
    """The body of a refusal."""
    told = {"code": code, "message": message, "status": status}
    return json.dumps({"error": {**told, "details": list(details)} if details else told}).encode()


def detail(kind: str, **fields: object) -> dict:
    """A detail of an error."""
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def faults(body: dict) -> Iterator[str]:
    """What the API refuses a request for, in its words as far as they are known."""
    for field in body.keys() - {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}:
        yield f'Invalid JSON payload received. Unknown name "{field}": Cannot find field.'
    contents = body.get("contents")
    if not contents:
        yield "* GenerateContentRequest.contents: contents is not specified"
        return
    for content in contents:
        if content["role"] not in ("user", "model"):
            yield "Please use a valid role: user, model."
        if not content["parts"]:
            yield "* GenerateContentRequest.contents.parts: contents.parts must not be empty."
    for part in (part for content in contents for part in content["parts"]):
        if len(KINDS & part.keys()) != 1 or (not part.get("text", "x") and "thoughtSignature" not in part):
            yield "* contents.parts.data: required oneof field 'data' must have one initialized field"
    yield from _faults_of_turns(contents)
    for tool in body.get("tools", []):
        yield from _faults_of_tools(tool["functionDeclarations"])


def _faults_of_turns(contents: list[dict]) -> Iterator[str]:
    if contents[0]["role"] != "user":
        yield "Please ensure that multiturn requests begin with a user turn."
    open_calls: list[dict] = []
    for before, content in zip([None, *contents], contents, strict=False):
        if before and before["role"] == content["role"]:
            yield "Please ensure that multiturn requests alternate between user and model."
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        if len(results) != len(open_calls):
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        for asked, given in zip(open_calls, results, strict=False):
            if (asked.get("id"), asked["name"]) != (given.get("id"), given["name"]):
                yield "function response does not match its function call"
            if not isinstance(given["response"], dict):
                yield "Proto field is not repeating, cannot start list."
        open_calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        if any(not NAME.match(asked["name"]) for asked in open_calls):
            yield "* function_call.name: Invalid function name."
    if open_calls:
        yield "Please ensure that function call turn comes immediately before a function response turn."


def _faults_of_tools(declared: list[dict]) -> Iterator[str]:
    for place, one in enumerate(declared):
        where = f"tools[0].function_declarations[{place}]"
        if not NAME.match(one["name"]):
            yield f"* GenerateContentRequest.{where}.name: Invalid function name."
        if {"parameters", "parametersJsonSchema"} <= one.keys():
            yield f"{where}: only one of parameters and parameters_json_schema may be set"
        if "parameters" in one:
            yield from _faults_of_schema(one["parameters"], f"{where}.parameters")


def _faults_of_schema(schema: dict, where: str) -> Iterator[str]:
    for field in schema.keys() - OLD_WORDS:
        yield f"Invalid JSON payload received. Unknown name \"{field}\" at '{where}': Cannot find field."
    if not isinstance(schema.get("type"), str) and "anyOf" not in schema:
        yield f"{where}.type: must be specified"
    if schema.get("type") == "object" and schema.get("properties") == {}:
        yield f"{where}.properties: should be non-empty for OBJECT type"
    if "enum" in schema and (schema["type"] != "string" or not all(isinstance(one, str) for one in schema["enum"])):
        yield f"{where}.enum: only allowed for STRING type"
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    for one in [*inner, *([schema["items"]] if "items" in schema else [])]:
        yield from _faults_of_schema(one, f"{where}.properties")
    if schema.get("type") == "array" and "items" not in schema:
        yield f"{where}.items: missing field."
