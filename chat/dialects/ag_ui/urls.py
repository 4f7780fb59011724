"""Routes of AG-UI, below /api/ag-ui/."""

from django.urls import re_path

from chat.dialects.ag_ui import views

urlpatterns = [re_path(r"^(?P<agent>[-a-zA-Z0-9_]{1,60})/?$", views.AgentView.as_view())]
