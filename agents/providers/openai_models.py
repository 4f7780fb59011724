"""The list of models of OpenAI's API, with what some services tell of each beside its name. Pure."""

from typing import Any

import msgspec

from agents.providers.abilities import REASONING, TOOLS, VISION, Told, complete


class Model(msgspec.Struct):
    """A model that is listed; what only some tell may have any shape, and is read where it has theirs."""

    id: str
    architecture: Any = None  # OpenRouter
    supported_parameters: Any = None  # OpenRouter
    capabilities: Any = None  # Mistral
    context_length: Any = None  # OpenRouter
    max_context_length: Any = None  # Mistral, LM Studio
    max_model_len: Any = None  # vLLM
    context_window: Any = None  # Groq

    def chats(self) -> bool:
        """Whether the list does not say that it cannot chat."""
        return not isinstance(self.capabilities, dict) or self.capabilities.get("completion_chat") is not False

    def told(self) -> Told | None:
        """What the list tells of it, None where that is nothing."""
        windows = (self.context_length, self.max_context_length, self.max_model_len, self.context_window)
        window = next((size for size in windows if isinstance(size, int) and size > 0), None)
        if isinstance(self.supported_parameters, list) and self.supported_parameters:
            return complete(self._parameters(), window)
        if isinstance(self.capabilities, dict) and "completion_chat" in self.capabilities:
            return self._flags(self.capabilities, window)
        return Told(context_window=window) if window else None

    def _parameters(self) -> list[str]:
        """The abilities by what a request may ask for, and by what it may be made of."""
        taken = self.supported_parameters
        read = self.architecture.get("input_modalities") if isinstance(self.architecture, dict) else None
        sees = isinstance(read, list) and "image" in read
        thinks = "reasoning" in taken or "include_reasoning" in taken
        held = {TOOLS: "tools" in taken, VISION: sees, REASONING: thinks}
        return [ability for ability, there in held.items() if there]

    def _flags(self, flags: dict[str, Any], window: int | None) -> Told:
        """The abilities by flags that say yes or no, or are not there."""
        named = {TOOLS: flags.get("function_calling"), VISION: flags.get("vision"), REASONING: flags.get("reasoning")}
        has = frozenset(ability for ability, flag in named.items() if flag is True)
        return Told(has, frozenset(ability for ability, flag in named.items() if flag is False), window)


class Models(msgspec.Struct):
    """The list."""

    data: list[Model] | None = None
