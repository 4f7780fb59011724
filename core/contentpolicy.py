"""What a page for people may load and run, said to the browser."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from core import problems

# Everything comes from this origin and nothing may frame it. No inline script runs, and no inline style sheet counts.
# `unsafe-eval`: the admin's Alpine turns its attributes into functions; its CSP build cannot read Unfold's expressions.
# `style-src-attr`: Unfold and Select2 set widths in attributes, which can load nothing that the other rules forbid.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
STRICTER = POLICY.replace(" 'unsafe-eval'", "")
"""What is ours needs no `unsafe-eval`."""
_NO_STYLES = STRICTER.replace("; style-src-attr 'unsafe-inline'", "")
STRICTEST = f"{_NO_STYLES.replace('data:', 'data: blob:')}; manifest-src 'self'"
"""Nor styles in attributes; pictures that are about to be sent are shown from this browser's memory, and a phone may
put a page on its home screen."""
DOCS = "/api/docs"


class ContentPolicy:
    """Adds the policy to every page, to those of errors too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if problems.is_admin(request.path):
            response["Content-Security-Policy"] = POLICY
        elif request.path.startswith(DOCS):
            response["Content-Security-Policy"] = STRICTER
        elif response.get("Content-Type", "").startswith("text/html"):
            response["Content-Security-Policy"] = STRICTEST
        return response
