"""What people and models write, on the chat page: Markdown, code, and what is meant to harm."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from config.bootstrap import BASE_DIR
from tests.browser.talking import HOSTILE, Talk
from tests.browser.talking import live as live
from tests.browser.talking import member as member
from tests.browser.talking import talk as talk
from tests.chat.asking import Person
from tests.servers.stack import Stack

pytestmark = pytest.mark.timeout(300)
CODE = (
    "Look:\n\n```python\ndef go(x):\n    return x  # done\n```\n\n1. one\n\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
)


def test_what_people_and_models_write_neither_runs_nor_loads(
    talk: Callable[..., Talk], live: Stack, member: Person, tmp_path: Path
) -> None:
    mine = talk()
    foreign: list[str] = []
    mine.page.on("request", lambda request: foreign.append(request.url) if "example.org" in request.url else None)
    mine.page.locator("[data-companion]").select_option("devops")
    mine.say(f"{HOSTILE} [[rehearse: call=service_restart {json.dumps({'service': HOSTILE})}]]")
    expect(mine.page.locator(".call-card pre")).to_contain_text("onerror")
    mine.idle()
    parts = [{"type": "text", "text": HOSTILE + f"\n\n```html\n{HOSTILE}\n```\n\n| {HOSTILE} |\n|---|\n| x |\n"}]
    live.sql("UPDATE companions_companion SET name = %s WHERE type = 'devops'", HOSTILE[:80])
    member.http.patch(f"/v1/ai/sessions/{mine.session_id}", json={"title": HOSTILE[:200]})
    live.sql(
        "UPDATE chat_message SET parts = %s::jsonb, content = %s WHERE conversation_id = %s AND role = 'assistant'",
        json.dumps(parts), HOSTILE, mine.session_id,
    )  # fmt: skip
    for path in (f"/c/{mine.session_id}", "/"):
        mine.open(path)
        expect(mine.page.locator(".sessions")).to_contain_text("onerror")
        assert mine.page.title() != "owned"
        assert mine.page.locator("main img, main svg, main script:not([type]), a[href^=javascript]").count() == 0
    live.sql("UPDATE companions_companion SET name = 'Argus' WHERE type = 'devops'")
    assert not foreign


def test_code_is_highlighted_and_copied(talk: Callable[..., Talk], live: Stack) -> None:
    mine = talk()
    mine.say("Begin")
    mine.idle()
    live.sql(
        "UPDATE chat_message SET parts = %s::jsonb WHERE conversation_id = %s AND role = 'assistant'",
        json.dumps([{"type": "text", "text": CODE}]), mine.session_id,
    )  # fmt: skip
    mine.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    mine.page.reload()
    block = mine.page.locator("figure.code")
    expect(block.locator(".hljs-keyword").first).to_have_text("def")
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button", name="Copied")).to_be_visible()
    assert mine.page.evaluate("navigator.clipboard.readText()") == "def go(x):\n    return x  # done"
    expect(mine.page.locator(".prose ol")).to_have_count(1)
    expect(mine.page.locator(".prose td")).to_have_count(2)


AS_MARKED_HAS_IT = """async (text) => {
    const at = (name) => document.querySelector(`link[href*='${name}']`).href;
    const { Growing } = await import(at("chat/markdown"));
    const { marked } = await import(at("marked.esm"));
    const told = (root) => {
        for (const one of root.querySelectorAll("figcaption")) one.remove();
        const codes = [...root.querySelectorAll("pre code")].map((one) => one.textContent.replace(/\\n$/, ""));
        return [root.textContent.replace(/\\s+/g, ""), root.querySelectorAll("td").length, ...codes];
    };
    const results = [told(new DOMParser().parseFromString(marked.parse(text), "text/html").body)];
    for (const size of [1, 7, 1000, text.length]) {
        const root = document.createElement("div"), growing = new Growing(root);
        for (let at = 0; at < text.length; at += size) {
            growing.append(text.slice(at, at + size));
            if (size > 1 || at % 50 === 0) growing.draw(Infinity);
        }
        growing.end();
        results.push(told(root));
    }
    return results;
}"""
MARKDOWN = [
    (BASE_DIR / "docs" / "memory-api.md").read_text() + CODE + "~~~\nopen ``` fence\n",
    "Look:\n\n```py\nx=1\n```\n",
    "- one\n  ```\n  x=1\n  ```\n- two\n",
    "````md\n```\nwithin\n```\n````\n",
    "~~~\nopen\n",
    "One *line*\n",
]


def test_markdown_that_grows_ends_as_marked_has_the_whole_of_it(talk: Callable[..., Talk]) -> None:
    page = talk().page
    for text in [one for whole in MARKDOWN for one in (whole, whole.rstrip("\n"))]:
        wanted, *drawn = page.evaluate(AS_MARKED_HAS_IT, text)
        assert drawn == [wanted] * len(drawn), text[:40]


def test_what_turns_or_hides_text_is_shown_and_what_languages_need_stays(
    talk: Callable[..., Talk], live: Stack, member: Person
) -> None:
    said = "\N{WOMAN}\u200d\N{PERSONAL COMPUTER} Bonjour\u00a0! \u6f22\u3000\u5b57 \u0645\u06cc\u200c\u062e"
    mine = talk()
    mine.say(f"{said} \u202e")
    mine.idle()
    expect(mine.page.locator(".turn.mine .body")).to_have_text(f"{said} ⟨U+202E⟩", use_inner_text=True)
    text = f"{said} \u2066 &#x202E; `a\u202eb`\n\n```py\nx\u2066y\U000e0041\n```\n\n[l](https://example.org '\u202e')"
    live.sql(
        "UPDATE chat_message SET parts = %s::jsonb WHERE conversation_id = %s AND role = 'assistant'",
        json.dumps([{"type": "text", "text": text}]), mine.session_id,
    )  # fmt: skip
    mine.page.reload()
    prose = mine.page.locator(".turn:not(.mine) .prose")
    expect(prose.locator("figure code")).to_have_text("x⟨U+2066⟩y⟨U+E0041⟩")
    shown = prose.inner_text()
    assert f"{said} ⟨U+2066⟩ ⟨U+202E⟩ a⟨U+202E⟩b" in shown
    expect(prose.get_by_role("link")).to_have_attribute("title", "⟨U+202E⟩")
    expect(mine.page.locator("h1")).to_contain_text(said)
