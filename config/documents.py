"""The OpenAPI documents: one of all, one of each dialect, and the page on which a person tries them.

All are cut from the one that drf-spectacular makes, so that a component has the same name in each. It is the same for
everybody and as long as the code is, so a process makes it once.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API of several that tell of the same: its name in addresses and for people, and where its paths are."""

    name: str
    title: str
    paths: str

    def owns(self, path: str) -> bool:
        """Whether a path is one of the dialect's."""
        return re.match(rf"(?:{self.paths})(?:/|$)", path) is not None


DIALECTS = (
    Dialect("native", "Native", "/v1/ai|/v1/auth"),
    Dialect("openai", "OpenAI", "/v1/chat|/v1/models"),
    Dialect("ai-sdk", "AI SDK", "/api/ai-sdk"),
    Dialect("ag-ui", "AG-UI", "/api/ag-ui"),
    Dialect("assistant", "Assistant", "/api/chat|/api/health"),
    Dialect("sessions", "Chat sessions", "/chat"),
    Dialect("agents", "Agents and teams", "/api/agents|/api/teams"),
)


@cache
def whole() -> Document:
    """The document of all dialects."""
    made: Document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@cache
def document(name: str = "") -> Document:
    """The document of one dialect, with the components that it needs; of all without a name. Raises KeyError."""
    if not name:
        return whole()
    dialect = {one.name: one for one in DIALECTS}[name]
    paths = {path: item for path, item in whole()["paths"].items() if dialect.owns(path)}
    info = {**whole()["info"], "title": f"{whole()['info']['title']}: {dialect.title}"}
    return {**whole(), "info": info, "paths": paths, "components": _needed(paths)}


def _needed(paths: Document) -> Document:
    """The components that these paths lead to, in their order, and all ways to bring a credential."""
    components = whole()["components"]
    wanted: set[str] = set()
    waiting = _references(paths)
    while waiting:
        name = waiting.pop()
        wanted.add(name)
        waiting |= _references(components["schemas"][name]) - wanted
    return {**components, "schemas": {name: one for name, one in components["schemas"].items() if name in wanted}}


def _references(node: Any) -> set[str]:
    """The names of the component schemas that something refers to itself."""
    if isinstance(node, list):
        return set().union(*map(_references, node))
    if not isinstance(node, dict):
        return set()
    found = set().union(*map(_references, node.values()))
    return found | {node["$ref"].rsplit("/", 1)[1]} if isinstance(node.get("$ref"), str) else found


@cache
def _written(name: str, as_json: bool) -> bytes:
    renderer = OpenApiJsonRenderer() if as_json else OpenApiYamlRenderer()
    written: bytes = renderer.render(document(name), renderer_context={})
    return written


class DocumentView(SpectacularAPIView):
    """A document, as YAML or as JSON."""

    authentication_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request, dialect: str = "") -> HttpResponse:
        """The document of a dialect; of all where none is named."""
        renderer = request.accepted_renderer
        try:
            written = _written(dialect, isinstance(renderer, OpenApiJsonRenderer))
        except KeyError:
            known = ", ".join(one.name for one in DIALECTS)
            raise Http404(f"There is no dialect of this name; there are {known}.") from None
        return HttpResponse(written, content_type=f"{renderer.media_type}; charset=utf-8")


def page(request: HttpRequest) -> HttpResponse:
    """Swagger UI with all documents to choose from."""
    offered = [{"name": "All dialects", "url": reverse("schema")}]
    offered += [{"name": one.title, "url": reverse("schema", args=[one.name])} for one in DIALECTS]
    return render(request, "docs.html", {"documents": offered})
