"""The ASGI application: HTTP through Django, WebSockets through Channels."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from approvals.consumers import ApprovalsConsumer  # noqa: E402
from chat.consumers import Nowhere, SameOrigin, SessionConsumer  # noqa: E402
from core import process  # noqa: E402
from core.handler import Handler  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": Handler(),
        "websocket": SameOrigin(
            URLRouter(
                [
                    re_path(r"^ws/ai/sessions/(?P<session_id>[0-9a-fA-F-]{36})/?$", SessionConsumer.as_asgi()),
                    re_path(r"^ws/admin/approvals/?$", ApprovalsConsumer.as_asgi()),
                    re_path(r"", Nowhere.as_asgi()),
                ]
            ),
            settings.ALLOWED_HOSTS,
        ),
    }
)
process.settle()
