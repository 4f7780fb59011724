"""What an answer says, gathered from its pieces and held to its limits. Pure."""

from agents.events import FILTERED, LENGTH, ReasoningDelta, Status, TextDelta
from agents.providers.base import AnswerTooLong, ProviderError, StreamMalformed

AT_LENGTH = Status("cut at the model's length limit", LENGTH)
AT_FILTER = Status("stopped by the provider's content filter", FILTERED)
MOST_TURNS = 1_000  # from reasoning to answer and back: each is a part of the message that is stored
Kind = type[TextDelta] | type[ReasoningDelta]


class Speech:
    """Words of an answer and of the thoughts before it, neighbours of one kind in one delta.

    `characters`: how many of the answer were said. `failure`: why nothing more is, once it went over a limit.
    """

    def __init__(self, provider: str, limit: int) -> None:
        self._provider = provider
        self._limit = self._room = limit
        self._kind: Kind = TextDelta
        self._pieces: list[str] = []
        self._last: Kind | None = None
        self._turns = 0
        self._said: list[TextDelta | ReasoningDelta] = []
        self.characters = 0
        self.failure: ProviderError | None = None

    def add(self, kind: Kind, text: str) -> None:
        """Put a piece behind the others."""
        if kind is not self._kind:
            self._close()
            self._kind = kind
        self._pieces.append(text)
        self.characters += len(text) if kind is TextDelta else 0

    def take(self) -> list[TextDelta | ReasoningDelta]:
        """What was added since the last time."""
        self._close()
        said, self._said = self._said, []
        return said

    def _close(self) -> None:
        """Let the pieces become a delta, as far as the limits allow."""
        text = storable("".join(self._pieces))
        self._pieces.clear()
        if not text or self.failure:
            return
        if len(text) > self._room:
            text = text[: self._room]
            self.failure = AnswerTooLong(f"The answer went over {self._limit:,} characters.")
        self._turns += self._kind is not self._last
        self._last = self._kind
        if self._turns > MOST_TURNS:
            self.failure = StreamMalformed(f"{self._provider} went from thinking to answering over and over.")
        elif text:
            self._room -= len(text)
            self._said.append(self._kind(text))


def storable(text: str) -> str:
    """The text without NUL: PostgreSQL keeps none, and nobody can read one."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text
