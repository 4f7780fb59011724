"""Routes of the assistant's dialect, below /api/."""

from django.urls import re_path

from chat.dialects.assistant import conversations, views

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

urlpatterns = [
    re_path(r"^health/?$", views.HealthView.as_view()),
    re_path(r"^chat/?$", views.ChatView.as_view()),
    re_path(r"^chat/stream/?$", views.StreamView.as_view()),
    re_path(r"^chat/messages/?$", conversations.MessagesView.as_view()),
    re_path(r"^chat/conversations/?$", conversations.ConversationsView.as_view()),
    re_path(rf"^chat/conversations/(?P<conversation_id>{UUID})/?$", conversations.ConversationView.as_view()),
    re_path(rf"^chat/conversations/(?P<conversation_id>{UUID})/truncate/?$", conversations.TruncateView.as_view()),
    re_path(
        rf"^chat/conversations/(?P<conversation_id>{UUID})/folder/?$", conversations.ConversationFolderView.as_view()
    ),
    re_path(r"^chat/folders/?$", conversations.FoldersView.as_view()),
    re_path(rf"^chat/folders/(?P<folder_id>{UUID})/?$", conversations.FolderView.as_view()),
]
