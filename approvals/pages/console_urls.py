"""Routes of the pages of approvals in the console."""

from accounts.pages.console import route
from approvals.pages import console_policies, console_webhooks

urlpatterns = [
    route("policies", console_policies.index, "policies"),
    route("policies/<id>/switch", console_policies.switch, "policy-switch"),
    route("policies/<id>/earlier", console_policies.earlier, "policy-earlier"),
    route("webhooks", console_webhooks.index, "webhooks"),
    route("webhooks/change", console_webhooks.change, "webhook"),
    route("webhooks/secret", console_webhooks.rotate, "webhook-secret"),
    route("webhooks/test", console_webhooks.test, "webhook-test"),
    route("webhooks/<id>", console_webhooks.delivery, "delivery"),
    route("webhooks/<id>/retry", console_webhooks.retry, "delivery-retry"),
]
