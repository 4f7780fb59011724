"""Routes of the chat sessions' dialect, below /chat."""

from django.urls import re_path

from chat.dialects.native.urls import UUID
from chat.dialects.sessions import views

urlpatterns = [
    re_path(r"^chat/?$", views.ChatsView.as_view()),
    re_path(r"^chat/token/?$", views.TokenView.as_view()),
    re_path(rf"^chat/(?P<chat_id>{UUID})/?$", views.ChatView.as_view()),
    re_path(rf"^chat/(?P<chat_id>{UUID})/message/?$", views.MessagesView.as_view()),
]
