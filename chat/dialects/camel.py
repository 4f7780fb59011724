"""Names as JavaScript has them."""


def camel(name: str) -> str:
    """`run_id` as `runId`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
