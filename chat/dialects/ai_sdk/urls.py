"""Routes of the AI SDK's dialect, below /api/ai-sdk/."""

from django.urls import re_path

from chat.dialects.ai_sdk.views import ChatView, ResumeView

urlpatterns = [
    re_path(r"^chat/?$", ChatView.as_view()),
    # A client's id of a chat may have whatever letters, slashes among them.
    re_path(r"^chat/(?P<chat_id>.{1,600})/stream/?$", ResumeView.as_view()),
]
