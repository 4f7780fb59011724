"""JSON Schema cut down to the part of it that Google's older APIs take for a function's parameters. Pure.

What cannot be said in it is left out: the arguments are checked by the whole schema before a tool runs.
"""

from typing import Any

DEEPEST = 32
MOST = 5_000  # schemas in a schema, with all that its references bring in
BOUNDS = ("minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern")
FORMATS = {"string": ("date-time",), "number": ("float", "double"), "integer": ("int32", "int64")}
ANYTHING = {"type": "string"}
Schema = dict[str, Any]


def reduced(schema: Schema) -> Schema:
    """The schema in their form, with references put in their places as far as they go."""
    return _Reduction(schema).of(schema, DEEPEST)


class _Reduction:
    """One schema on its way."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._room = MOST

    def of(self, schema: Any, depth: int) -> Schema:
        """The schema, or that of any text where it is none, too deep or too large."""
        self._room -= 1
        if not isinstance(schema, dict) or depth <= 0 or self._room < 0:
            return ANYTHING
        if "$ref" in schema:
            own = {key: value for key, value in schema.items() if key != "$ref"}
            return self.of({**self._referred(schema["$ref"]), **own}, depth - 1)
        choices = [one for key in ("anyOf", "oneOf", "allOf") for one in _list(schema.get(key))]
        if not choices and len(kinds := _list(schema.get("type"))) > 1:
            choices = [{**schema, "type": kind} for kind in kinds]
        if not choices:
            return self._plain(schema, depth)
        real = [one for one in choices if not (isinstance(one, dict) and one.get("type") == "null")]
        told = {"description": schema["description"]} if "description" in schema else {}
        if len(real) < len(choices):
            told["nullable"] = True
        if len(real) == 1:
            return {**self.of(real[0], depth - 1), **told}
        return {"anyOf": [self.of(one, depth - 1) for one in real], **told}

    def _plain(self, schema: Schema, depth: int) -> Schema:
        """A schema of one type, which may have to be guessed."""
        guessed = "object" if "properties" in schema else "array" if "items" in schema else "string"
        [kind] = _list(schema.get("type")) or [guessed]
        told: Schema = {"type": kind}
        told |= {key: schema[key] for key in ("description", *BOUNDS) if key in schema}
        if schema.get("format") in FORMATS.get(str(kind), ()):
            told["format"] = schema["format"]
        values = _list(schema.get("enum", schema.get("const")))
        if kind == "string" and values and all(isinstance(one, str) and one for one in values):
            told["enum"] = values
        if kind == "array":
            told["items"] = self.of(schema.get("items"), depth - 1)
        properties = schema.get("properties")
        if kind == "object" and isinstance(properties, dict) and properties:
            told["properties"] = {name: self.of(one, depth - 1) for name, one in properties.items()}
            told["required"] = [name for name in _list(schema.get("required")) if name in properties]
        return told

    def _referred(self, address: Any) -> Schema:
        """What a reference means, which is somewhere in the same schema; nothing where it is not."""
        found: Any = self._root
        for name in str(address).removeprefix("#/").split("/"):
            found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def _list(found: Any) -> list[Any]:
    if found is None:
        return []
    return found if isinstance(found, list) else [found]
