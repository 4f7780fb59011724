"""Routes of the chat page."""

from django.urls import re_path

from chat.pages import views

UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

urlpatterns = [
    re_path(r"^$", views.home, name="chat"),
    re_path(rf"^c/(?P<session_id>{UUID})/?$", views.conversation, name="conversation"),
]
