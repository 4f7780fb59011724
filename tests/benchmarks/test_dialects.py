"""The benchmark of the dialects: every encoder says the recorded run, every door is asked, and the tables tell it."""

import pytest

from benchmarks import dialects, encoding, load, speaking, stream
from benchmarks.answers import DIALECTS, NAME, Result, Round
from benchmarks.encoding import Encoding
from benchmarks.figures import Sample
from benchmarks.speaking import DOORS
from tests.servers.stack import running


def test_every_dialect_has_an_encoder_and_a_door():
    assert set(encoding.encoders()) | {"sessions"} == {name.partition(",")[0] for name in DOORS} == set(DIALECTS)


@pytest.mark.parametrize("dialect", encoding.encoders())
def test_an_encoder_says_the_recorded_run(dialect):
    found = encoding.measure(dialect, tokens=40, streams=2, rounds=2)
    assert min(found.alone + found.together) > 0


def test_an_encoder_that_says_less_is_no_measurement():
    encoder = encoding.encoders()["native"]()
    events = encoding.recorded(10)
    said = b"".join(encoder.sse(number, event) for number, event in enumerate(events) if number != len(events) - 4)
    with pytest.raises((AssertionError, ValueError), match="another text|said"):
        encoding.check("native", said, 10)


def test_a_round_sends_each_request_under_its_own_name():
    round_ = Round(f"http://x/chat/{NAME}/message", {"id": NAME}, "native", 1, 1, 2, names=["a", "b"])
    assert round_.request(1).startswith(b"POST /chat/b/message HTTP/1.1\r\n")
    assert round_.request(0).endswith(b'{"id": "a"}')


def test_every_door_streams_what_the_upstream_says(upstream_url):
    """A short round of each against real processes: nothing is lost, and no answer fails."""
    plan = stream.Plan(2, 10, 1, 3)
    with running(env={"OPENAI_BASE_URL": upstream_url, "EXTRACTION": "0"}) as live:
        speaker = speaking.Speaker(live.base_url, live.folder / "demo.json")
        speaker.prefer(plan)
        seen = {dialect: load.run(speaker.round(dialect, plan)) for dialect in DOORS}
    assert {name: (one.answers, one.tokens, one.lost, one.errors) for name, one in seen.items()} == dict.fromkeys(
        DOORS, (3, 30, 0, {})
    )


def sample(cpu, **errors):
    zeros = dict.fromkeys(("lost", "doubled", "deltas", "restarts"), 0)
    times = dict.fromkeys(("first_p50", "first_p99", "gap_p50", "gap_p99", "cpu", "seconds"), 1.0)
    return Sample(Result(answers=1, tokens=100, errors=errors, **zeros, **times), {"web": cpu})


def test_the_tables_say_whether_the_targets_are_reached():
    quick, slow = Encoding("quick", [1.0], [5.0]), Encoding("slow", [1.0], [5.1])
    assert (quick.row()[-1], slow.row()[-1]) == ("yes", "**no**")
    native = [sample(1.0), sample(2.0), sample(1.0)]
    near = dialects.Spoken("near", [sample(1.04), sample(2.09), sample(1.3)], native)
    far = dialects.Spoken("far", [sample(1.06), sample(2.2), sample(0.9)], native)
    broken = dialects.Spoken("broken", [sample(1.0), sample(2.0), sample(1.0, lost=1)], native)
    assert near.row()[-3:] == ["+4.5 % (+4.0 to +30.0)", "≤ 5 %", "yes"]
    assert far.row()[-1] == broken.row()[-1] == "**no**"
    assert dialects.Spoken("native", native, native).row()[-1] == "–"


def test_the_encoders_alone_are_measured_and_written(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{dialects.START}\n{dialects.END}\nafter\n")
    monkeypatch.setattr(stream, "PAGE", page)
    assert dialects.main(["--quick", "--streams", "0", "--tokens", "20", "--write"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert "| ag_ui | " in text
    assert capsys.readouterr().out.strip() in text


def test_the_page_of_the_documentation_has_the_block():
    page = stream.PAGE.read_text()
    assert dialects.START in page
    assert dialects.END in page
