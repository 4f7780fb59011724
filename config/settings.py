"""Settings: every one has a default that is safe for one machine; `docs/settings.md` lists the variables."""

import ssl
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from config import bucket, env
from config.dashboard import UNFOLD as UNFOLD
from config.inference import *  # noqa: F403  all of them are settings
from config.signin import *  # noqa: F403
from core import logs

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / ".data"))).resolve()

DEBUG = env.flag("DEBUG")
SECRET_KEY = env.text("SECRET_KEY")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY is not set. `make up` makes one; elsewhere set a long random text.")
# Keys that seal provider secrets, newest first; the first seals, all open. Derived from SECRET_KEY when unset.
SEALING_KEYS = env.listing("SEALING_KEYS", [])
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS", [])

DATABASE_URL = env.text("DATABASE_URL")
REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0")
env.refuse_open_valkey("REDIS_URL", REDIS_URL)
# What sign-in counts, and the codes that were used: one for all processes. JSON, for pickle would run what it reads.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"serializer": "core.cache.Json", "socket_timeout": 2, "socket_connect_timeout": 1},
    }
}

INSTALLED_APPS = [
    # Gives runserver ASGI; `make up` serves with uvicorn, measured 2.4 times cheaper, and Twisted takes 20 MB.
    *(["daphne"] if "runserver" in sys.argv else []),
    "unfold.apps.BasicAppConfig",
    "config.site.SiteConfig",  # django.contrib.admin with our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "axes",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "corsheaders",
    "core",
    "accounts",
    "approvals",
    "agents",
    "companions",
    "memory",
    "chat",
    "config",
    *env.listing("EXTRA_APPS", []),  # of the operator's own, that bring tools
]

# The whole chain is synchronous and runs in one thread per request: see core/handler.py.
MIDDLEWARE = [
    "core.middleware.RequestContext",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.secondfactor.Required",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "core.contentpolicy.ContentPolicy",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False  # every path works with and without a trailing slash, with no redirect

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.pages.views.shown",
            ]
        },
    }
]

# The role that serving processes take once they are connected (`manage.py audit role`); empty: they stay who they are.
DATABASE_ROLE = env.text("DATABASE_ROLE")
_database: dict[str, Any] = {**dj_database_url.parse(DATABASE_URL or "postgresql://localhost/countersign")}
_database["OPTIONS"] = {"connect_timeout": 5, **_database.get("OPTIONS", {})}
# The folder of a socket comes as an option; dbshell looks for it here.
_database["HOST"] = _database.get("HOST") or _database["OPTIONS"].pop("host", "")
if not env.flag("PGBOUNCER"):  # a pooler keeps no plans; elsewhere those of core.prepared stay with the connection
    _database["OPTIONS"]["prepare_threshold"] = 5
if DATABASE_ROLE and not env.flag("DATABASE_AS_OWNER"):
    if env.flag("PGBOUNCER"):
        raise ImproperlyConfigured("DATABASE_ROLE does not go with PGBOUNCER: let DATABASE_URL sign in as the role.")
    _database["OPTIONS"]["assume_role"] = DATABASE_ROLE
DATABASES = {
    "default": {
        **_database,
        # Connections belong to the threads of core.bridge, which are as many as WEB_THREADS and live as long as
        # the process, so they may be kept: one thread, one connection, found dead without a query.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
        "DISABLE_SERVER_SIDE_CURSORS": env.flag("PGBOUNCER"),
    }
}
WEB_THREADS = env.integer("WEB_THREADS", 8, low=1, high=256)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["accounts.passwords.Argon2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LOGGING = logs.config(env.text("LOG_LEVEL", "INFO"))

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("STATIC_ROOT", str(DATA_DIR / "static"))).resolve()
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.staticfiles.HashedModules"},
}
WHITENOISE_USE_FINDERS = False
# Images of messages: a folder that nobody else reads, or a bucket of S3 or of what speaks like it.
ATTACHMENTS_DIR = Path(env.text("ATTACHMENTS_DIR", str(DATA_DIR / "attachments"))).resolve()
ATTACHMENTS_S3_BUCKET = env.text("ATTACHMENTS_S3_BUCKET")
_folder = {"location": ATTACHMENTS_DIR, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
_where = {"endpoint": env.text("ATTACHMENTS_S3_ENDPOINT"), "region": env.text("ATTACHMENTS_S3_REGION")}
STORAGES["attachments"] = (
    bucket.storage(ATTACHMENTS_S3_BUCKET, **_where)
    if ATTACHMENTS_S3_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": _folder}
)
# How long the address of an image in a message opens without a key.
ATTACHMENT_URL_SECONDS = env.seconds("ATTACHMENT_URL_SECONDS", 900.0, low=1)

# Limits of the wire contract. Bodies over their cap are refused with 413 before they are parsed.
BODY_LIMIT = 1_000_000
BODY_LIMIT_IMAGES = 12_000_000
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT_IMAGES
MESSAGE_LIMIT = 200_000
TITLE_LIMIT = 200
METADATA_LIMIT = 16_384
JSON_DEPTH_LIMIT = 64

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "core.problems.csrf_failure"
HTTPS = env.flag("HTTPS")  # set where a proxy terminates TLS: cookies become secure, HSTS is sent
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_SSL_REDIRECT = HTTPS
# The operator of a subdomain may have other plans for its neighbours: HSTS for them, or preloaded, is not ours to set.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiKeyAuthentication",
        "accounts.authentication.JwtAuthentication",
        "accounts.signedin.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasWorkspace"],
    "DEFAULT_PARSER_CLASSES": ["core.jsonbody.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.limits.Limit"],
    "EXCEPTION_HANDLER": "core.problems.handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is an unknown parameter like any other
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Countersign",
    "DESCRIPTION": "AI companions whose actions are countersigned.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/v1",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "config.examples.show"],
    "ENUM_NAME_OVERRIDES": {
        "ApprovalStatusEnum": "approvals.models.ApprovalStatus",
        "DecisionEnum": "approvals.models.Decision",
        "AgentKindEnum": "agents.models.AgentKind",
        "AgentStatusEnum": "agents.api.serializers.STATUSES",
        "LayerEnum": "companions.models.Layer",
        "ChatModeEnum": "agents.models.ChatMode",
        "AnswerStatusEnum": "chat.dialects.native.serializers.ANSWER_STATUS",
        "DirectAnswerStatusEnum": "chat.dialects.agents.serializers.ANSWER_STATUS",
        "MessageOutRoleEnum": "chat.models.MessageRole",
        "MediaTypeEnum": "core.images.TYPES",
        "EventsEnum": "approvals.services.webhooks.EVENTS",
        "ChannelEventsEnum": "approvals.services.channels.EVENTS",
        "ChannelKindEnum": "approvals.models.ChannelKind",
    },
}

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "UPDATE_LAST_LOGIN": False,
    "ALGORITHM": "HS256",
    "ISSUER": "countersign",
    "AUTH_HEADER_TYPES": ("Bearer",),
}

# Celery is a doorbell: a message carries a row's id, the row is the truth. See docs/decisions/0003.
# Celery has its own way to write the address of a Unix socket, which the embedded Valkey has.
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")
# Without this word it would take any certificate; what the address says of certificates itself counts instead.
CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if REDIS_URL.startswith("rediss://") else None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# What a worker does besides hearing bells follows from the queues that it is started with (chat/engine.py): answers,
# calls of tools, deliveries, and what is done in the background. One that names none has all of them.
QUEUES = ("runs", "actions", "outbox", "upkeep")
CELERY_TASK_QUEUES = [Queue(name, routing_key=name) for name in QUEUES]
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a worker for a queue that nobody has would wait for ever
CELERY_TASK_DEFAULT_QUEUE = "runs"
CELERY_TASK_ROUTES = {
    "chat.execute_action": {"queue": "actions"},
    "approvals.deliver": {"queue": "outbox"},
    "accounts.post": {"queue": "outbox"},
    "chat.wake_agent": {"queue": "upkeep"},
    "chat.housekeep": {"queue": "upkeep"},
    "approvals.sign_heads": {"queue": "upkeep"},
    "approvals.notify": {"queue": "upkeep"},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_RESULT_EXPIRES = None  # nothing is kept that would have to be cleaned up
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"  # agents have schedules of their own
CELERY_BEAT_SCHEDULE = {
    "housekeep": {"task": "chat.housekeep", "schedule": timedelta(hours=1)},
    "sign heads": {"task": "approvals.sign_heads", "schedule": timedelta(minutes=1)},
    "notify": {"task": "approvals.notify", "schedule": timedelta(minutes=1)},
    "post": {"task": "accounts.post", "schedule": timedelta(minutes=1)},
}

# The run: who holds it, how long, how often. All times are the database's.
RUN_LEASE_SECONDS = env.seconds("RUN_LEASE_SECONDS", 8.0, low=1)
RUN_SWEEP_SECONDS = env.seconds("RUN_SWEEP_SECONDS", 2.0, low=0.1)
RUN_CHECKPOINT_SECONDS = env.seconds("RUN_CHECKPOINT_SECONDS", 1.0, low=0.1)
RUN_MAX_ATTEMPTS = env.integer("RUN_MAX_ATTEMPTS", 3, low=1)
RUN_WALL_SECONDS = env.seconds("RUN_WALL_SECONDS", 900.0)
DRAIN_SECONDS = env.seconds("DRAIN_SECONDS", 10.0)  # a worker that stops gives its runs so long to end
HEARTBEAT_FILE = env.text("HEARTBEAT_FILE")  # a worker touches it as its loop goes round, for who watches it
RUN_CAPACITY = env.integer(
    "RUN_CAPACITY", 1000, low=2
)  # runs a worker process answers at once, half of them one person's
RUN_MAX_STEPS = env.integer("RUN_MAX_STEPS", 20, low=1)  # turns of the model, each of which may call tools
RUN_MAX_TOKENS = env.integer("RUN_MAX_TOKENS", 1_000_000, low=1)
RUN_MAX_COST_USD = env.seconds("RUN_MAX_COST_USD", 10.0)
# Tokens that a workspace may use in a month, by its tier; 0: as many as it likes.
TIER_TOKENS = {
    "free": env.integer("TIER_TOKENS_FREE", 1_000_000, high=10**12),
    "pro": env.integer("TIER_TOKENS_PRO", 0, high=10**12),
    "enterprise": env.integer("TIER_TOKENS_ENTERPRISE", 0, high=10**12),
    "self-hosted": env.integer("TIER_TOKENS_SELF_HOSTED", 0, high=10**12),
}
BUDGET_ANSWER_TOKENS = env.integer("BUDGET_ANSWER_TOKENS", 4_000, low=1)  # held back for an answer yet to come
RUN_MAX_DEPTH = env.integer("RUN_MAX_DEPTH", 2, low=1, high=5)  # how many runs may stand above one that was asked for
RUN_MAX_NESTED = env.integer("RUN_MAX_NESTED", 40, low=1)  # runs within one run, at all depths together
# The action: a tool call that runs. Its lease is renewed while it runs, however long that takes.
ACTION_LEASE_SECONDS = env.seconds("ACTION_LEASE_SECONDS", 8.0, low=1)
ACTION_MAX_ATTEMPTS = env.integer("ACTION_MAX_ATTEMPTS", 5, low=1)
ACTION_CAPACITY = env.integer("ACTION_CAPACITY", 50, low=1)  # actions a worker process runs at once
CLIENT_TOOL_SECONDS = env.seconds("CLIENT_TOOL_SECONDS", 3600.0, low=1)  # that a client has for a call of its own
TOOL_THREADS = env.integer("TOOL_THREADS", 8, low=1, high=256)  # of them those whose tools are not asynchronous
AUDIT_SEAL_SECONDS = env.seconds("AUDIT_SEAL_SECONDS", 0.5, low=0.05)  # how often the audit log's chain is continued
AUDIT_SIGNING_KEY = env.text("AUDIT_SIGNING_KEY")  # empty: made once and kept in DATA_DIR/audit_key
AUDIT_HEADS_FILE = env.text("AUDIT_HEADS_FILE", str(DATA_DIR / "audit" / "heads.jsonl"))
AUDIT_HEADS_URL = env.text("AUDIT_HEADS_URL")
EVENT_WINDOW_MS = env.integer("EVENT_WINDOW_MS", 40, low=0, high=40)
EVENT_LOG_SECONDS = env.seconds("EVENT_LOG_SECONDS", 3600.0)
KEEP_ALIVE_SECONDS = env.seconds("KEEP_ALIVE_SECONDS", 15.0, low=0.1)
LINE_LIMIT = env.integer("LINE_LIMIT", 20, low=1)  # messages that wait in one conversation
HISTORY_CHARACTERS = env.integer("HISTORY_CHARACTERS", 200_000, low=1)  # of a conversation's past that a model is told
HISTORY_MESSAGES = env.integer("HISTORY_MESSAGES", 50, low=1)
ANSWER_LIMIT = env.integer("ANSWER_LIMIT", 1_000_000)  # characters of one answer; more ends the run

# What is told outside: webhooks to public addresses, and e-mail; where no server is named, notices are printed.
PUBLIC_URL = env.text("PUBLIC_URL", "http://localhost:8000").rstrip("/")  # where people reach this installation
# Networks and hosts that are not public and that webhooks, or tools with addresses that people set, may reach.
WEBHOOK_PRIVATE_ADDRESSES = env.places("WEBHOOK_PRIVATE_ADDRESSES")
TOOL_PRIVATE_ADDRESSES = env.places("TOOL_PRIVATE_ADDRESSES")
# Likewise for model providers that admins of workspaces set up who are not of the staff.
PROVIDER_PRIVATE_ADDRESSES = env.places("PROVIDER_PRIVATE_ADDRESSES")
MCP_STDIO_SERVERS = env.programs("MCP_STDIO_SERVERS")  # MCP servers that run as programs of this machine, by name
DNS_SERVERS = env.endpoints("DNS_SERVERS", port=53)  # who is asked for the names of such addresses
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
EMAIL_PORT = env.integer("EMAIL_PORT", 25, low=1, high=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS")
EMAIL_USE_SSL = env.flag("EMAIL_USE_SSL")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "countersign@localhost")

# Requests a minute, per key and person; the limiter is atomic on Valkey (accounts/limits.py).
LIMITS = {
    "login": env.integer("LIMIT_LOGIN", 10),
    "chat": env.integer("LIMIT_CHAT", 6000),
    "read": env.integer("LIMIT_READ", 12000),
    "write": env.integer("LIMIT_WRITE", 6000),
    "decide": env.integer("LIMIT_DECIDE", 600),
    "hook": env.integer("LIMIT_HOOK", 600),
    "page": env.integer("LIMIT_PAGE", 120),  # of one address with a publishable key, which anybody has
}

# Who looks on: nothing of it is told, or loaded, where it is not asked for (docs/operations.md).
WEB_DRAIN_SECONDS = env.seconds("WEB_DRAIN_SECONDS", 0.0, high=600.0)  # unready before the end, once told to stop
METRICS_TOKEN = env.token("METRICS_TOKEN")  # who brings it reads /metrics; empty: nobody does
OTEL_EXPORTER_OTLP_ENDPOINT = env.address("OTEL_EXPORTER_OTLP_ENDPOINT")  # an OTLP receiver over HTTP, for traces
SENTRY_DSN = env.address("SENTRY_DSN")  # where faults are told

# Which pages may call from other origins: those that keys name (accounts/crossorigin.py), on the paths for pages alone.
CORS_URLS_REGEX = r"^/chat(/|$)"
CORS_ALLOW_METHODS = ("DELETE", "GET", "POST")
CORS_ALLOW_HEADERS = ("accept", "authorization", "content-type", "idempotency-key", "x-client-token", "x-request-id")
CORS_EXPOSE_HEADERS = (
    "idempotency-replayed", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "x-request-id",
)  # fmt: skip
CORS_PREFLIGHT_MAX_AGE = 600  # seconds for which a browser asks no more, whatever becomes of the key
