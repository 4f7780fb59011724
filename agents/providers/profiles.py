"""What is known of well-known models. What is not known is left empty, never guessed."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

OPENAI, GROQ, ANTHROPIC = "api.openai.com", "api.groq.com", "api.anthropic.com"
GOOGLE = "generativelanguage.googleapis.com"

# Names that /models lists beside those that chat.
_NO_CHAT = (
    "text-embedding", "whisper", "tts-", "dall-e", "gpt-image", "chatgpt-image", "omni-moderation", "text-moderation",
    "davinci-", "babbage-", "sora-", "gpt-realtime", "gpt-audio", "distil-whisper", "playai-tts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's abilities, its window in tokens, and how many an answer can have; what it costs is in `prices`."""

    capabilities: tuple[str, ...] = ("chat",)
    context_window: int | None = None
    most_tokens: int | None = None


_CHAT, _SEES = ("chat", "tools"), ("chat", "tools", "vision")
_THINKS = ("chat", "tools", "vision", "reasoning")

# Windows as the makers publish them (November 2025).
_KNOWN = {
    "gpt-4o": Profile(_SEES, 128_000),
    "gpt-4o-mini": Profile(_SEES, 128_000),
    "gpt-4.1": Profile(_SEES, 1_047_576),
    "gpt-4.1-mini": Profile(_SEES, 1_047_576),
    "gpt-4.1-nano": Profile(_SEES, 1_047_576),
    "gpt-5": Profile(_THINKS, 400_000),
    "gpt-5-mini": Profile(_THINKS, 400_000),
    "gpt-5-nano": Profile(_THINKS, 400_000),
    "o3": Profile(_THINKS, 200_000),
    "o4-mini": Profile(_THINKS, 200_000),
    "llama-3.3-70b-versatile": Profile(_CHAT, 131_072),
    "llama-3.1-8b-instant": Profile(_CHAT, 131_072),
    "claude-opus-4-5": Profile(_THINKS, 200_000, 64_000),
    "claude-opus-4-1": Profile(_THINKS, 200_000, 32_000),
    "claude-opus-4": Profile(_THINKS, 200_000, 32_000),
    "claude-sonnet-4-5": Profile(_THINKS, 200_000, 64_000),
    "claude-sonnet-4": Profile(_THINKS, 200_000, 64_000),
    "claude-haiku-4-5": Profile(_THINKS, 200_000, 64_000),
    "claude-3-5-haiku": Profile(_SEES, 200_000, 8_192),
    "claude-3-haiku": Profile(_SEES, 200_000, 4_096),
    "gemini-3-pro-preview": Profile(_THINKS, 1_048_576, 65_536),
    "gemini-2.5-pro": Profile(_THINKS, 1_048_576, 65_536),
    "gemini-2.5-flash": Profile(_THINKS, 1_048_576, 65_536),
    "gemini-2.5-flash-lite": Profile(_THINKS, 1_048_576, 65_536),
    "gemini-2.0-flash": Profile(_SEES, 1_048_576, 8_192),
    "gemini-2.0-flash-lite": Profile(_SEES, 1_048_576, 8_192),
    "rehearsal": Profile(("chat",)),
    "rehearsal-reasoning": Profile(("chat", "reasoning")),
}
_UNKNOWN = Profile()
_EDITION = re.compile(r"-20\d{6}$")


def profile(model: str) -> Profile:
    """What is known of the model, whose name may end with the date of its edition; of an unknown one that it chats."""
    return known(model) or _UNKNOWN


def known(model: str) -> Profile | None:
    """The profile of a well-known model, None of any other."""
    return _KNOWN.get(model) or _KNOWN.get(_EDITION.sub("", model))


def host(url: str) -> str:
    """The address's host, empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def chats(model: str) -> bool:
    """Whether a listed model can chat, as far as its name tells."""
    return not model.startswith(_NO_CHAT)
