"""Wiring of the companions app."""

from django.apps import AppConfig


class CompanionsConfig(AppConfig):
    """The companions app."""

    name = "companions"
