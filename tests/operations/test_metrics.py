"""What is counted by many processes, as a scraper reads it from any web; and that all of it is explained and used."""

import json
import re
from pathlib import Path

import httpx
import pytest
import yaml
from django.conf import settings

from config.gauges import GAUGES
from core.measures import COUNTERS, HISTOGRAMS
from tests.operations.metering import BEARER, TOKEN, scraped
from tests.servers import openai_server
from tests.servers.stack import eventually, running

ROOT = Path(settings.BASE_DIR)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")
EXPORTED = {*GAUGES, *COUNTERS, *HISTOGRAMS}
NAMED = re.compile(r"\bcountersign_[a-z_]+")
OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


@pytest.fixture(scope="module")
def stack():
    """Two webs, a worker, and a provider."""
    with openai_server.running(["t5-i0", "status:500"]) as provider:
        env = {"METRICS_TOKEN": TOKEN, "OPENAI_BASE_URL": provider.base_url, "EXTRACTION": "0"}
        with running(webs=2, env=env) as found:
            yield found


def say(stack, url, **more):
    body = {"message": "Hello", "companion": "smart-home", **more}
    return httpx.post(f"{url}/v1/ai/chat", json=body, headers=stack.headers, timeout=60)


COUNTED = (
    ("countersign_runs_ended_total", {"outcome": "completed"}, 6),
    ("countersign_runs_ended_total", {"outcome": "failed"}, 1),
    ("countersign_http_requests_total", {"route": "/v1/ai/chat", "status": "2xx", "method": "POST"}, 6),
    ("countersign_http_requests_total", {"route": "/v1/ai/chat", "status": "5xx", "method": "POST"}, 1),
    ("countersign_first_token_seconds_count", {}, 6),
    ("countersign_first_token_seconds_bucket", {"le": "+Inf"}, 6),
    ("countersign_answer_seconds_count", {"outcome": "completed"}, 6),
    ("countersign_provider_first_token_seconds_count", {"provider": "openai"}, 6),
)


def test_every_web_tells_what_all_webs_and_workers_counted(stack):
    for number in range(6):
        answer = say(stack, stack.urls[number % 2], model="t5-i0")
        assert answer.status_code == 200, answer.text
    assert say(stack, stack.urls[0], model="status:500").status_code == 503
    for url in stack.urls:

        def counted(url=url):
            number = scraped(url)
            return number if all(number(name, **labels) >= value for name, labels, value in COUNTED) else None

        number = eventually(counted, "all of it is counted")
        assert [number(name, **labels) for name, labels, _ in COUNTED] == [value for _, _, value in COUNTED]
        failed = number("countersign_provider_errors_total", provider="openai", code="provider_unavailable")
        assert failed >= 1
        assert number("countersign_provider_calls_total", provider="openai") == 6 + failed
        assert number("countersign_tokens_total", provider="openai", direction="out") > 0
        assert number("countersign_event_log_append_seconds_count") > 0


def test_labels_have_few_values_whatever_people_send(stack):
    url = stack.urls[0]
    for path in ("/v1/ai/sessions/01998f7e-0000-7000-8000-000000000000", "/nothing/here", "/nothing/there?a=b"):
        assert httpx.get(f"{url}{path}", headers=stack.headers).status_code == 404
    httpx.request("CANARY", f"{url}/v1/ai/chat", headers=stack.headers)
    eventually(lambda: scraped(url)("countersign_http_requests_total", route="none") >= 2, "they are counted")
    page = httpx.get(f"{url}/metrics", headers=BEARER).text
    assert 'route="/v1/ai/sessions/<session_id>"' in page
    assert not UUID.search(page)
    assert not {"CANARY", "nothing", "t5-i0", stack.demo["workspace_id"]} & set(re.findall(r"[\w-]+", page))


def test_all_that_is_exported_is_what_is_documented(stack):
    page = httpx.get(f"{stack.urls[0]}/metrics", headers=BEARER).text
    assert set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)) == EXPORTED
    documented = (ROOT / "docs" / "operations.md").read_text()
    table = set(re.findall(r"^\| `(countersign_[a-z_]+)`", documented, re.MULTILINE))
    assert table == EXPORTED


def test_the_dashboard_and_the_alerts_name_only_what_is_exported():
    folder = ROOT / "deploy" / "grafana"
    panels = [panel for panel in json.loads((folder / "countersign.json").read_text())["panels"] if "targets" in panel]
    rules = [
        rule for group in yaml.safe_load((folder / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
    ]
    shown = {name for panel in panels for target in panel["targets"] for name in NAMED.findall(target["expr"])}
    watched = {name for rule in rules for name in NAMED.findall(rule["expr"])}
    assert {OF_HISTOGRAM.sub("", name) for name in shown | watched} <= EXPORTED
    assert {OF_HISTOGRAM.sub("", name) for name in shown} == EXPORTED, "each has its panel"
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        anchor = rule["annotations"]["runbook"].partition("#")[2]
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
