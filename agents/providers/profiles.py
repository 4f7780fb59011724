"""What is known of well-known models. What is not known is left empty, never guessed."""

from dataclasses import dataclass
from urllib.parse import urlsplit

OPENAI, GROQ = "api.openai.com", "api.groq.com"

# Names that /models lists beside those that chat.
_NO_CHAT = (
    "text-embedding", "whisper", "tts-", "dall-e", "gpt-image", "chatgpt-image", "omni-moderation", "text-moderation",
    "davinci-", "babbage-", "sora-", "gpt-realtime", "gpt-audio", "distil-whisper", "playai-tts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's abilities, its window in tokens, and its makers' price in US dollars a million tokens, in and out.

    The price holds at `host` alone: another server may sell a model of the same name for another.
    """

    capabilities: tuple[str, ...] = ("chat",)
    context_window: int | None = None
    price: tuple[float, float] | None = None
    host: str = ""


_CHAT, _SEES = ("chat", "tools"), ("chat", "tools", "vision")
_THINKS = ("chat", "tools", "vision", "reasoning")

# Prices and windows as the makers publish them (November 2025).
_KNOWN = {
    "gpt-4o": Profile(_SEES, 128_000, (2.5, 10.0), OPENAI),
    "gpt-4o-mini": Profile(_SEES, 128_000, (0.15, 0.6), OPENAI),
    "gpt-4.1": Profile(_SEES, 1_047_576, (2.0, 8.0), OPENAI),
    "gpt-4.1-mini": Profile(_SEES, 1_047_576, (0.4, 1.6), OPENAI),
    "gpt-4.1-nano": Profile(_SEES, 1_047_576, (0.1, 0.4), OPENAI),
    "gpt-5": Profile(_THINKS, 400_000, (1.25, 10.0), OPENAI),
    "gpt-5-mini": Profile(_THINKS, 400_000, (0.25, 2.0), OPENAI),
    "gpt-5-nano": Profile(_THINKS, 400_000, (0.05, 0.4), OPENAI),
    "o3": Profile(_THINKS, 200_000, (2.0, 8.0), OPENAI),
    "o4-mini": Profile(_THINKS, 200_000, (1.1, 4.4), OPENAI),
    "llama-3.3-70b-versatile": Profile(_CHAT, 131_072, (0.59, 0.79), GROQ),
    "llama-3.1-8b-instant": Profile(_CHAT, 131_072, (0.05, 0.08), GROQ),
    "rehearsal": Profile(("chat",), None, (0.0, 0.0)),
    "rehearsal-reasoning": Profile(("chat", "reasoning"), None, (0.0, 0.0)),
}
_UNKNOWN = Profile()


def profile(model: str) -> Profile:
    """What is known of the model; of an unknown one that it chats."""
    return _KNOWN.get(model, _UNKNOWN)


def host(url: str) -> str:
    """The address's host, empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def price(base_url: str, model: str) -> tuple[float, float] | None:
    """US dollars a million tokens, in and out, or None where no price is known for this model at this address."""
    known = profile(model)
    return known.price if known.price and known.host == host(base_url) else None


def cost(base_url: str, model: str, input_tokens: int, output_tokens: int) -> float | None:
    """US dollars for so many tokens, or None where no price is known."""
    known = price(base_url, model)
    return known and round((input_tokens * known[0] + output_tokens * known[1]) / 1e6, 8)


def chats(model: str) -> bool:
    """Whether a listed model can chat, as far as its name tells."""
    return not model.startswith(_NO_CHAT)
