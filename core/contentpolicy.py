"""What a page of the admin may load and run, said to the browser."""

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


class ContentPolicy:
    """Adds the policy to every response below the admin, its errors included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path.startswith(problems.HTML):
            response["Content-Security-Policy"] = POLICY
        return response
