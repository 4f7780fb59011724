"""The servers of one test session, named in the environment before Django loads.

They are always the session's own, whatever DATABASE_URL and REDIS_URL say outside: tests empty them.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import django
import pytest
from django.conf import settings

from core import embedded, embedded_home

FOREIGN = (
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "GROQ_API_KEY", "OPENROUTER_API_KEY", "OLLAMA_HOST",
    "MISTRAL_API_KEY", "DEEPSEEK_API_KEY", "VLLM_BASE_URL", "VLLM_API_KEY", "LM_STUDIO_BASE_URL", "LM_STUDIO_API_KEY",
    "OLLAMA_API_KEY", "OLLAMA_CONTEXT_LENGTH",
    "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL", "ANTHROPIC_THINKING_TOKENS",
    "GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_BASE_URL", "GOOGLE_MODEL",
    "METRICS_TOKEN", "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN", "WEB_DRAIN_SECONDS",
    "DATABASE_ROLE", "DATABASE_AS_OWNER", "AUDIT_SIGNING_KEY", "AUDIT_HEADS_FILE", "AUDIT_HEADS_URL",
)  # fmt: skip

if settings.configured:
    raise pytest.UsageError("Django is set up before the servers of the tests: unset DJANGO_SETTINGS_MODULE")

FOLDER = Path(tempfile.mkdtemp(prefix="cs-test-"))
TOGETHER = Path(os.environ.setdefault("TESTS_TOGETHER", str(FOLDER)))
"""The folder of the process that hands tests out, where they share what is made once; else one's own."""
_running = contextlib.ExitStack()
_running.enter_context(embedded_home.exclusive(FOLDER / "lock", "tests"))
HOME = embedded_home.find(FOLDER / "data")
(FOLDER / "data" / "static").mkdir()
for name in FOREIGN:
    os.environ.pop(name, None)
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "tests.settings",
    "SECRET_KEY": "a key for tests, long enough for every check that looks at its length",
    "DATA_DIR": str(FOLDER / "data"),
    "DATABASE_URL": HOME.database_url,
    "REDIS_URL": HOME.redis_url,
    "REHEARSAL": "1",
    "LIMIT_LOGIN": "100000",
    "LIMIT_CHAT": "1000000",
    "LIMIT_READ": "1000000",
    "LIMIT_WRITE": "1000000",
    "LIMIT_DECIDE": "1000000",
}
django.setup()
del os.environ["DJANGO_SETTINGS_MODULE"]  # the processes that tests start choose for themselves


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the servers, save where no test runs here: where they are collected, or handed out to other processes."""
    option = session.config.option
    if option.collectonly or (getattr(option, "numprocesses", None) and not hasattr(session.config, "workerinput")):
        return
    log = _running.enter_context((FOLDER / "servers.log").open("ab"))
    servers = [embedded.postgres(HOME, durable=False), embedded.valkey(HOME)]
    _running.enter_context(embedded.running(servers, log))


def pytest_unconfigure() -> None:
    """Stop the servers and remove all that they wrote, and what killed sessions left behind."""
    _running.close()
    for folder in Path(tempfile.gettempdir()).glob("cs-test-*"):
        with contextlib.suppress(embedded_home.InUseError, FileNotFoundError):  # in use, or swept by another
            if folder.stat().st_uid == os.geteuid() and (folder / "lock").is_file():
                with embedded_home.exclusive(folder / "lock", "sweeping"):
                    _remove(folder)


def _remove(folder: Path) -> None:
    for data in folder.iterdir():
        if data.is_dir():
            embedded_home.discard(data)
    shutil.rmtree(folder)
