"""What the chat page costs a browser: the first paint, what is transferred, and how smooth typing stays.

A real Chromium loads a conversation of forty messages with nothing in its cache; then three answers stream into one
page while somebody types into it, a letter every 40 ms. Its own Performance APIs tell the figures.
"""

import argparse
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from benchmarks import proc, report, stack
from benchmarks.countersigning import Figure

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
DOCUMENT = stack.PROJECT / "docs" / "performance.md"
START, END = "<!-- bench-page:start -->", "<!-- bench-page:end -->"
NOBODY = "http://127.0.0.1:9/v1"  # the model server of other benchmarks: here the offline provider answers
TURNS, LOADS = 20, 10
MOST_PAINT_MS, MOST_BYTES, MOST_TASK_MS = 300, 200_000, 100
LONG = "Tell [[rehearse: tokens=1500 interval=10]]"
TYPED = "Typing goes on while three answers come, and no letter waits for any of them. " * 4
PATIENCE_MS = 60_000

# Counts what the page's thread was kept busy with, and how long each key took until it was painted.
WATCH = """() => {
    window.busy = [];
    window.keys = [];
    new PerformanceObserver((list) => { for (const one of list.getEntries()) window.busy.push(one.duration); })
        .observe({type: "longtask"});
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) if (one.name === "keydown") window.keys.push(one.duration);
    }).observe({type: "event", durationThreshold: 16});
}"""
# Two more answers in the same page, read and drawn by the page's own modules.
TWO_MORE = """async (message) => {
    const address = (name) => document.querySelector(`link[rel=modulepreload][href*="chat/${name}."]`).href;
    const [{ send }, { follow }, { Answer }, { begun }] =
        await Promise.all(["api", "stream", "answer", "transcript"].map((name) => import(address(name))));
    window.others = [0, 1].map(async () => {
        const answer = new Answer(begun(), { who: "Other", onMemories() {} });
        document.querySelector("[data-said]").after(answer.node); // the page sees to what is inside of it
        const post = (signal) => send("POST", "/v1/ai/chat", { body: { message, stream: true }, signal });
        for await (const frame of follow({ post, signal: new AbortController().signal })) answer.apply(frame);
    });
}"""


@contextmanager
def signed_in(browser: Browser, base_url: str, login: dict[str, str]) -> Iterator[BrowserContext]:
    """A browser in which the demo's member has signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{base_url}/account/login/")
    page.locator("[name=login]").fill(login["email"])
    page.locator("[name=password]").fill(login["password"])
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(f"{base_url}/")
    page.close()
    yield context
    context.close()


def conversation(base_url: str, key: str) -> str:
    """The id of a session in which something was said for some time."""
    session: dict[str, Any] = {}
    for number in range(TURNS):
        body = {"message": f"Question {number}: how is it done? [[rehearse: tokens=150 interval=0]]", **session}
        session = {"session_id": asked("POST", f"{base_url}/v1/ai/chat", key, body)["session_id"]}
    return str(session["session_id"])


def asked(method: str, address: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the API answers; raises HTTPError."""
    request = urllib.request.Request(address, json.dumps(body).encode(), method=method)
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def load(context: BrowserContext, address: str) -> tuple[float, int]:
    """Milliseconds to the first contentful paint, and the bytes that came, in a page with an empty cache."""
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    came: list[float] = []
    network.on("Network.loadingFinished", lambda event: came.append(event["encodedDataLength"]))
    page.goto(address)
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.wait_for_load_state("networkidle")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.close()
    return float(paint), int(sum(came))


def typing(page: Page) -> tuple[float, float, float]:
    """While three answers stream: the longest task, the median and the longest time of a key, in milliseconds."""
    page.get_by_label("Your message").fill(LONG)
    page.get_by_label("Your message").press("Enter")
    page.evaluate(TWO_MORE, LONG)
    expect(page.locator(".turn", has_text="word20")).to_have_count(3, timeout=PATIENCE_MS)
    page.evaluate(WATCH)
    page.get_by_label("Your message").press_sequentially(TYPED, delay=40)
    expect(page.locator(".turn", has_text="word700")).to_have_count(3, timeout=PATIENCE_MS)
    assert page.get_by_label("Your message").input_value() == TYPED, "letters were lost"
    busy, keys = page.evaluate("[window.busy, window.keys]")
    return max(busy, default=0.0), median(keys or [0.0]), max(keys, default=0.0)


def run() -> list[Figure]:
    """All figures."""
    with (
        tempfile.TemporaryDirectory(prefix="cs-bench-") as folder,
        stack.started(Path(folder) / "data", NOBODY) as running,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        demo = json.loads((Path(folder) / "data" / "demo.json").read_text())
        asked("PUT", f"{running.base_url}/v1/ai/preferences/model", running.key, {"model": "rehearsal"})
        session = conversation(running.base_url, running.key)
        with signed_in(browser, running.base_url, demo["users"]["member"]) as context:
            loads = [load(context, f"{running.base_url}/c/{session}") for _ in range(LOADS)]
            page = context.new_page()
            page.goto(f"{running.base_url}/")
            expect(page.locator("html[data-ready]")).to_be_attached()
            task, key, longest_key = typing(page)
        browser.close()
    paints, came = sorted(paint for paint, _ in loads), max(size for _, size in loads)
    paint = median(paints)
    paint_said = f"{paint:.0f} ms ({paints[0]:.0f}–{paints[-1]:.0f})"
    return [
        Figure(f"First paint of {2 * TURNS} messages", paint_said, f"≤ {MOST_PAINT_MS} ms", paint <= MOST_PAINT_MS),
        Figure("Transferred, all of it", f"{came / 1000:.0f} kB", f"≤ {MOST_BYTES // 1000} kB", came <= MOST_BYTES),
        Figure(
            "Longest task while three answers stream and somebody types",
            f"{task:.0f} ms" if task else "none over 50 ms",
            f"≤ {MOST_TASK_MS} ms",
            task <= MOST_TASK_MS,
        ),
        Figure("From a key to its paint meanwhile", f"{key:.0f} ms, at most {longest_key:.0f} ms"),
    ]


def markdown(figures: list[Figure]) -> str:
    """The table."""
    head = f"`make bench-page` on {datetime.now(UTC):%Y-%m-%d}: {proc.machine()}; load {os.getloadavg()[0]:.1f}."
    columns = ["figure", "measured", "target", "reached?"]
    return f"{head}\n\n{report.table(columns, [one.row() for one in figures])}\n"


def main() -> int:
    """Run the benchmark and print its table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    wanted = options.parse_args()
    text = markdown(run())
    print(text)
    if wanted.write:
        report.write(DOCUMENT, text, START, END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
