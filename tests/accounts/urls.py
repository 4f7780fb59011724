"""Routes with each kind of guard, for the tests of accounts; none of them is shipped."""

import time

from django.urls import include, path
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.idempotency import complete, idempotent
from accounts.models import Role, Workspace
from accounts.permissions import HasRole
from core.errors import Conflict


class Whoami(APIView):
    scope = "chat"

    def get(self, request):
        actor = request.user
        return Response({"user": actor.user.email, "workspace": actor.workspace.slug, "role": actor.role})


class Page(Whoami):
    publishable_ok = True


class Unscoped(Whoami):
    scope = None


class Managers(Whoami):
    permission_classes = (HasRole,)
    roles = (Role.MANAGER,)


class Careful(Whoami):
    limit_bucket = "write"
    limit_fail_closed = True


class Work(APIView):
    """Makes a workspace; the body tells how it ends."""

    @idempotent
    def post(self, request, name="one"):
        if request.data.get("refuse"):
            raise Conflict("Refused.")
        made = Workspace.objects.create(name=name, slug=request.data["slug"])
        if request.claim and request.data.get("in_transaction"):
            complete(request.claim, 201, {"id": str(made.pk)})
        time.sleep(request.data.get("seconds", 0))
        if request.data.get("fail"):
            raise ZeroDivisionError
        return Response({"id": made.pk}, request.data.get("status", 201))


urlpatterns = [
    path("v1/auth/", include("accounts.api.urls")),
    path("v1/whoami", Whoami.as_view()),
    path("v1/page", Page.as_view()),
    path("v1/unscoped", Unscoped.as_view()),
    path("v1/managers", Managers.as_view()),
    path("v1/careful", Careful.as_view()),
    path("v1/work/<name>", Work.as_view()),
    path("v1/work/<name>/", Work.as_view()),
    path("v1/other", Work.as_view()),
]

handler404 = "core.problems.page_not_found"
handler500 = "core.problems.server_error"
