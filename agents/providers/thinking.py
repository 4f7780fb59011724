"""Thoughts that a server leaves in an answer's text, in tags of the model's own. Pure."""

from agents.events import ReasoningDelta, TextDelta
from agents.providers.speech import Kind

PAIRS = {
    "<think>": "</think>",  # DeepSeek R1, Qwen and most that came after
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi
}
MOST_BLANKS = 1_000  # before the tag


class Opening:
    """Tells the thoughts at the beginning of an answer from the answer, wherever the tags are cut.

    Only what comes first can be a tag: further on, and in code above all, tags are what the model talks about. `over`:
    all that comes from now on is the answer. `unclosed`: the thoughts have begun and not ended.
    """

    __slots__ = ("_close", "_closed", "_held", "_said", "over")

    def __init__(self) -> None:
        self._held = self._close = ""
        self._said = self._closed = self.over = False

    @property
    def unclosed(self) -> bool:
        """Whether the thoughts have begun and not ended."""
        return bool(self._close) and not self._closed

    def feed(self, text: str) -> list[tuple[Kind, str]]:
        """What is certain by now, in order."""
        if self.over:
            return [(TextDelta, text)]
        self._held += text
        if not self._close:
            self._begin()
        said = self._think() if self.unclosed else []
        if self._closed:
            self._held = self._held.lstrip()
            self.over = bool(self._held)
        return [*said, *self.end()] if self.over else said

    def end(self) -> list[tuple[Kind, str]]:
        """What was held back, as the text or the thought that it can only be now."""
        held, self._held = self._held, ""
        return [(ReasoningDelta if self.unclosed else TextDelta, held)] if held else []

    def _begin(self) -> None:
        """See whether it begins with a tag, as far as that can be told."""
        body = self._held.lstrip()
        if len(self._held) - len(body) > MOST_BLANKS:
            self.over = True
        elif tag := next((tag for tag in PAIRS if body.startswith(tag)), ""):
            self._close = PAIRS[tag]
            self._held = body[len(tag) :]
        else:
            self.over = not any(tag.startswith(body) for tag in PAIRS)

    def _think(self) -> list[tuple[Kind, str]]:
        """The thoughts that came, without the blanks before them."""
        thought, tag, rest = self._held.partition(self._close)
        self._closed = bool(tag)
        thought, self._held = (thought, rest) if tag else self._split(thought)
        if not self._said:
            thought = thought.lstrip()
            self._said = bool(thought)
        return [(ReasoningDelta, thought)] if thought else []

    def _split(self, text: str) -> tuple[str, str]:
        """The text, without an end that may be the beginning of the closing tag, and that end."""
        for size in range(min(len(self._close) - 1, len(text)), 0, -1):
            if text.endswith(self._close[:size]):
                return text[:-size], text[-size:]
        return text, ""
