"""Settings of what answers, searches and remembers: providers, engines of the web, the embedder, recall."""

from config import env

# Providers from the environment: see agents/brain.py.
PROVIDER_CONNECT_SECONDS = env.seconds("PROVIDER_CONNECT_SECONDS", 5.0)
PROVIDER_FIRST_TOKEN_SECONDS = env.seconds("PROVIDER_FIRST_TOKEN_SECONDS", 60.0)
PROVIDER_BETWEEN_TOKENS_SECONDS = env.seconds("PROVIDER_BETWEEN_TOKENS_SECONDS", 30.0)
PROVIDER_BREAKER_FAILURES = env.integer("PROVIDER_BREAKER_FAILURES", 5, low=1)  # in a row, by the provider's own fault
PROVIDER_BREAKER_SECONDS = env.seconds("PROVIDER_BREAKER_SECONDS", 30.0, low=0.1)  # that it is left alone then
OPENAI_API_KEY = env.text("OPENAI_API_KEY")
OPENAI_BASE_URL = env.text("OPENAI_BASE_URL")
ANTHROPIC_API_KEY = env.text("ANTHROPIC_API_KEY")
ANTHROPIC_BASE_URL = env.text("ANTHROPIC_BASE_URL")
ANTHROPIC_MODEL = env.text("ANTHROPIC_MODEL")
# Tokens that a model which can may think for before it answers; 0: it does not.
ANTHROPIC_THINKING_TOKENS = env.integer("ANTHROPIC_THINKING_TOKENS", 0, low=0, high=32_000)
GOOGLE_API_KEY = env.text("GOOGLE_API_KEY") or env.text("GEMINI_API_KEY")
GOOGLE_BASE_URL = env.text("GOOGLE_BASE_URL")
GOOGLE_MODEL = env.text("GOOGLE_MODEL")
GROQ_API_KEY = env.text("GROQ_API_KEY")
OPENROUTER_API_KEY = env.text("OPENROUTER_API_KEY")
MISTRAL_API_KEY = env.text("MISTRAL_API_KEY")
DEEPSEEK_API_KEY = env.text("DEEPSEEK_API_KEY")
VLLM_BASE_URL = env.text("VLLM_BASE_URL")
VLLM_API_KEY = env.text("VLLM_API_KEY")
LM_STUDIO_BASE_URL = env.text("LM_STUDIO_BASE_URL")
LM_STUDIO_API_KEY = env.text("LM_STUDIO_API_KEY")
OLLAMA_HOST = env.text("OLLAMA_HOST")
OLLAMA_API_KEY = env.text("OLLAMA_API_KEY")
# The context that Ollama is asked for, in tokens; 0 leaves it to the server, which may cut at 4096.
OLLAMA_CONTEXT_LENGTH = env.integer("OLLAMA_CONTEXT_LENGTH", 16384, low=0)
# Search engines from the environment: see agents/tools/web/engines.py.
SEARXNG_URL = env.text("SEARXNG_URL")
BRAVE_API_KEY = env.text("BRAVE_API_KEY")
TAVILY_API_KEY = env.text("TAVILY_API_KEY")
# What makes vectors of memories: see memory/embedders.
EMBEDDER = env.choice("EMBEDDER", "local", ("local", "openai", "none"))
EMBEDDER_URL = env.text("EMBEDDER_URL", "https://api.openai.com/v1")
EMBEDDER_MODEL = env.text("EMBEDDER_MODEL", "text-embedding-3-small")
EMBEDDER_API_KEY = env.text("EMBEDDER_API_KEY")
# Days after which memories of a layer are deleted; 0: never.
MEMORY_RETENTION_DAYS = {
    "identity": env.integer("MEMORY_RETENTION_DAYS_IDENTITY", 0, low=0, high=36_500),
    "preferences": env.integer("MEMORY_RETENTION_DAYS_PREFERENCES", 0, low=0, high=36_500),
    "history": env.integer("MEMORY_RETENTION_DAYS_HISTORY", 0, low=0, high=36_500),
}
# What the parts of a memory's score count, see memory/scoring.py; docs/memory.md has what each is worth.
RECALL_WEIGHTS = env.weights(
    "RECALL_WEIGHTS",
    {
        "words": 1.0, "share": 0.8, "before": 1.3, "after": 0.4, "earlier": 1.1, "meaning": 1.0, "next": 0.2,
        "session": 1.5, "speaker": 0.5, "date": 1.8, "asks": -0.5, "answers": 0.2, "personal": 0.35, "when": 1.1,
        "where": 0.6, "time": 0.2, "name": 0.2,
    },
)  # fmt: skip
# Facts are drawn from a conversation when it has been silent for so long, or has so many answers that were not read.
EXTRACTION = env.flag("EXTRACTION", True)
EXTRACTION_IDLE_SECONDS = env.seconds("EXTRACTION_IDLE_SECONDS", 20.0)
EXTRACTION_ANSWERS = env.integer("EXTRACTION_ANSWERS", 10, low=1)
MEMORIES_WITHHELD = env.listing("MEMORIES_WITHHELD", [])  # providers, by name, that are not sent memories
REHEARSAL = env.flag("REHEARSAL", True)  # the offline provider; off, a workspace without a provider has no Brain
