"""Puts the page where it is found."""

from django.apps import AppConfig


class BreakingConfig(AppConfig):
    name = "tests.operations.breaking"
    label = "breaking"

    def ready(self):
        from django.urls import path  # noqa: PLC0415

        from config import urls  # noqa: PLC0415  it needs every app
        from tests.operations.breaking.views import breaks  # noqa: PLC0415

        urls.urlpatterns.append(path("v1/ai/break", breaks))
