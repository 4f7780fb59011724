"""Routes of the OpenAI-compatible dialect, below /v1/."""

from django.urls import re_path

from chat.dialects.openai.views import CompletionsView, ModelsView, ModelView

urlpatterns = [
    re_path(r"^chat/completions/?$", CompletionsView.as_view(), name="openai-completions"),
    re_path(r"^models/?$", ModelsView.as_view(), name="openai-models"),
    re_path(r"^models/(?P<model>[^\0]+?)/?$", ModelView.as_view(), name="openai-model"),
]
