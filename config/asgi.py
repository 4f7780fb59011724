"""The ASGI application: HTTP through Django, WebSockets through Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from approvals.consumers import ApprovalsConsumer, WaitingConsumer  # noqa: E402
from chat.consumers import ChangesConsumer, Nowhere, SameOrigin, SessionConsumer  # noqa: E402
from config import probes, reporting  # noqa: E402
from core import process  # noqa: E402
from core.handler import Handler  # noqa: E402

reporting.start("web")
web = probes.Probes(Handler(), settings.WEB_DRAIN_SECONDS)
application = ProtocolTypeRouter(
    {
        "http": web,
        "websocket": SameOrigin(
            URLRouter(
                [
                    re_path(r"^ws/ai/sessions/(?P<session_id>[0-9a-fA-F-]{36})/?$", SessionConsumer.as_asgi()),
                    re_path(r"^ws/ai/sessions/(?P<session_id>[0-9a-fA-F-]{36})/changes/?$", ChangesConsumer.as_asgi()),
                    re_path(r"^ws/admin/approvals/?$", ApprovalsConsumer.as_asgi()),
                    re_path(r"^ws/approvals/?$", WaitingConsumer.as_asgi()),
                    re_path(r"", Nowhere.as_asgi()),
                ]
            ),
            settings.ALLOWED_HOSTS,
        ),
    }
)
process.settle()
