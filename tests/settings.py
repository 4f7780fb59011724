"""The settings of in-process tests: the shipped ones, save that no static files are collected and no images left."""

from config.settings import *  # noqa: F403  the tests run what is shipped
from config.settings import STORAGES as SHIPPED

STORAGES = {
    **SHIPPED,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "attachments": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
}
