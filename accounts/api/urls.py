"""Routes below `/v1/auth/`."""

from django.urls import re_path

from accounts.api import schema, views

urlpatterns = [
    re_path(r"^login/?$", views.LoginView.as_view(), name="login"),
    re_path(r"^refresh/?$", views.RefreshView.as_view(), name="refresh"),
    re_path(r"^ticket/?$", views.TicketView.as_view(), name="ticket"),
]

__all__ = ["schema", "urlpatterns"]  # drf-spectacular knows its extensions by their being imported
