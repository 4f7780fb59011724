"""Routes of the memory page."""

from django.urls import re_path

from memory.pages import views

urlpatterns = [re_path(r"^memory/?$", views.panel, name="memory")]
