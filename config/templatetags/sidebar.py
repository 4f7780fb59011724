"""What the admin's pages have from its sidebar."""

from typing import Any

from django import template

from config.dashboard import UNFOLD

register = template.Library()


@register.filter
def as_in_sidebar(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps to a page, the list among them and what it stands under called as the sidebar calls them."""
    if len(parts) < 2:
        return parts
    app, rows, *more = parts
    for group in UNFOLD["SIDEBAR"]["navigation"]:
        for item in group["items"]:
            if str(item["link"]) == str(rows.get("link")):
                return [{"title": group["title"]}, {**rows, "title": item["title"]}, *more]
    return [app, rows, *more]
