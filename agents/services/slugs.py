"""Slugs for what is named by people who choose none."""

from typing import Any

from django.db.models import QuerySet
from django.utils.text import slugify

LONGEST = 60


def free(rows: QuerySet[Any], name: str, otherwise: str) -> str:
    """A slug made of the name that none of the rows has; `otherwise` is for a name without a letter of a slug's."""
    stem = slugify(name)[: LONGEST - 5].strip("-") or otherwise
    taken = set(rows.filter(slug__startswith=stem).values_list("slug", flat=True))
    number, slug = 1, stem
    while slug in taken:
        number += 1
        slug = f"{stem}-{number}"
    return slug
