"""The page on settings, beside the code that reads them."""

import re

import pytest

from config import bootstrap

READER = re.compile(r"env\.(?:text|flag|integer|seconds|listing|networks)\(\s*\"([A-Z_]+)\"")


@pytest.fixture(scope="module")
def documented() -> set[str]:
    page = (bootstrap.BASE_DIR / "docs" / "settings.md").read_text()
    return set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))


def test_the_page_has_every_variable_that_is_read_and_no_other(documented):
    read = {"DATA_DIR"}
    for path in bootstrap.BASE_DIR.glob("config/*.py"):
        read.update(READER.findall(path.read_text()))

    assert documented == read
