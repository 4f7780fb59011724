"""Lists of big tables: in the order of their ids alone, read on from a row and not from a number of rows."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from unfold.paginator import InfinitePaginator

from core.templatetags.moments import SECONDS, moment

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
else:
    from unfold.views import ChangeList

BEFORE = "before"


class Moment:
    """A column of a list that shows a field's time as a `<time>` element."""

    def __init__(self, field: "models.DateTimeField[Any, Any]") -> None:
        self.__name__ = self.admin_order_field = field.name
        self.short_description = field.verbose_name

    def __call__(self, row: models.Model) -> str | None:
        """The time; None where the row has none."""
        return moment(getattr(row, self.__name__), SECONDS) or None


class Pages(InfinitePaginator):  # type: ignore[misc]  # Unfold is not typed
    """Pages that nobody counts; `NewestFirst` knows where the next one begins."""

    template_name = "admin/pages.html"


class NewestFirst(ChangeList):
    """A list in the order of its ids, whatever the address asks for: others have no index.

    `before` in the address is the id of the last row of the page before: to skip rows costs as much as to read them.
    """

    before = ""

    def get_ordering(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> list[Any]:
        """The newest first."""
        return ["-pk"]

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The rows behind the place that the address names."""
        if BEFORE in self.params:  # no filter, and not to be kept when a filter is chosen
            self.before = self.params.pop(BEFORE)
            del self.filter_params[BEFORE]
        rows = super().get_queryset(request, *args, **kwargs)
        if not self.before:
            return rows
        try:
            return rows.filter(pk__lt=self.model._meta.pk.to_python(self.before))
        except ValidationError:
            return rows

    def get_results(self, request: HttpRequest) -> None:
        """The page; numbers of pages are not heeded."""
        self.page_num = 1
        super().get_results(request)
        self.full_result_count = self.result_count  # neither is a number of anything, and so neither is shown

    @property
    def older(self) -> str:
        """The query of the next page's address; empty behind a page that is not full."""
        rows = list(self.result_list)
        if len(rows) < self.list_per_page:
            return ""
        return self.get_query_string({BEFORE: rows[-1].pk})

    @property
    def newest(self) -> str:
        """The query of the first page's address; empty on it."""
        return self.get_query_string() if self.before else ""
