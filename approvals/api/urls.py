"""Routes of approvals, below /v1/ai/."""

from django.urls import re_path

from approvals.api import events, notifications, views, webhooks

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

urlpatterns = [
    re_path(r"^approvals/?$", views.ApprovalsView.as_view()),
    re_path(r"^approvals/bulk/?$", views.BulkView.as_view()),
    re_path(rf"^approvals/(?P<approval_id>{UUID})/?$", views.ApprovalView.as_view()),
    re_path(r"^events/?$", events.EventsView.as_view()),
    re_path(r"^notifications/preferences/?$", notifications.PreferencesView.as_view()),
    re_path(r"^notifications/channels/?$", notifications.ChannelsView.as_view()),
    re_path(rf"^notifications/channels/(?P<channel_id>{UUID})/?$", notifications.ChannelView.as_view()),
    re_path(rf"^notifications/channels/(?P<channel_id>{UUID})/test/?$", notifications.ChannelTestView.as_view()),
    re_path(r"^webhooks/config/?$", webhooks.WebhookConfigView.as_view()),
    re_path(r"^webhooks/deliveries/?$", webhooks.WebhookDeliveriesView.as_view()),
]
