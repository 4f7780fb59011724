"""Routes that fail in each way, for the tests of errors; none of them is shipped."""

from django import db, http
from django.core import exceptions
from django.urls import include, path
from rest_framework import exceptions as drf
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from core import errors
from core.serializers import QuerySerializer, StrictSerializer


class Item(StrictSerializer):
    url = serializers.URLField()
    size = serializers.IntegerField(required=False)


class Body(StrictSerializer):
    text = serializers.CharField(max_length=10, trim_whitespace=False)
    number = serializers.IntegerField(required=False)
    share = serializers.FloatField(required=False)
    flag = serializers.BooleanField(required=False)
    choice = serializers.ChoiceField(choices=["1", "two"], required=False)
    names = serializers.ListField(child=serializers.CharField(), required=False)
    none = serializers.ListField(child=serializers.DictField(), required=False, max_length=0)
    items = Item(many=True, required=False)
    state = serializers.CharField(read_only=True)


class Query(QuerySerializer):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)


class Echo(APIView):
    authentication_classes = permission_classes = throttle_classes = ()

    def post(self, request):
        body = Body(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(body.validated_data)

    def get(self, request):
        request._request.response_headers["X-From-View"] = "yes"
        return Response(Query.read(request.query_params))


FAILURES = {
    "domain": errors.Conflict("Taken.", extra={"run_id": "r1"}, headers={"X-Why": "taken"}),
    "missing": http.Http404("secret text"),
    "forbidden": exceptions.PermissionDenied("secret text"),
    "unauthenticated": drf.NotAuthenticated(),
    "throttled": drf.Throttled(wait=7),
    "suspicious": exceptions.SuspiciousOperation("secret text"),
    "header": http.BadHeaderError("secret text"),
    "big": exceptions.RequestDataTooBig("secret text"),
    "database": db.OperationalError("secret text"),
    "interface": db.InterfaceError("secret text"),
    "data": db.DataError("secret text"),
    "integrity": db.IntegrityError("secret text"),
    "gone": exceptions.ObjectDoesNotExist("secret text"),
    "fault": ZeroDivisionError("secret text"),
}


class Failing(APIView):
    authentication_classes = permission_classes = throttle_classes = ()

    def get(self, request, how):
        raise FAILURES[how]


def failing(request, how):
    raise FAILURES[how]


urlpatterns = [
    path("v1/echo", Echo.as_view()),
    path("v1/drf/<how>", Failing.as_view()),
    path("plain/<how>", failing),
    path("admin/<how>", failing),
    path("nested/", include([path("deep", failing)])),
]

handler400 = "core.problems.bad_request"
handler403 = "core.problems.permission_denied"
handler404 = "core.problems.page_not_found"
handler500 = "core.problems.server_error"
