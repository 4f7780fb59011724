"""Routes of companions, below /v1/ai/."""

from django.urls import re_path

from companions.api import views

urlpatterns = [
    re_path(r"^companions/?$", views.CompanionsView.as_view()),
    re_path(r"^companions/(?P<type>[-a-zA-Z0-9_]{1,60})/config/?$", views.CompanionConfigView.as_view()),
]
