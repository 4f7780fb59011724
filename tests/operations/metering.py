"""What is measured, as a scraper reads it."""

from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

TOKEN = "a-token-for-the-scraper-of-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
Number = Callable[..., float]


def scraped(url: str) -> Number:
    """Gives the numbers of a page by sample and labels; 0 where it has none."""
    answer = httpx.get(f"{url}/metrics", headers=BEARER, timeout=20)
    assert answer.status_code == 200, answer.text
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]

    def number(name: str, **labels: str) -> float:
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    return number
