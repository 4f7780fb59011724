"""Answers of the whole stack: JSON and streams, conflicts, repetitions, and a provider that fails in every way."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.chatting import CHAT, body, streamed
from tests.contract.operations import check_answer, check_problem
from tests.servers.openai_server import OpenAIServer
from tests.servers.sse import Reader, ask, events, resume

STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
DONE = {"message_id", "session_id", "run_id", "status", "response"}


@pytest.mark.proves("POST /v1/ai/chat", client="httpx")
def test_a_message_is_answered_with_one_json_body(http):
    answer = http.post(CHAT, json=body("t5-i0"))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    check_answer("POST /v1/ai/chat", 200, told)
    assert told["response"] == told["message"]["content"] == "".join(f"tok {n} " for n in range(5))
    assert told["message"]["parts"] == [{"type": "text", "text": told["response"]}]
    assert (told["message"]["role"], told["status"], told["companion"]) == ("assistant", "completed", "smart-home")
    assert (told["model"], told["provider"], told["approvals"]) == ("t5-i0", "openai", [])
    assert set(told["usage"]) == {"input_tokens", "output_tokens", "cost_usd"}
    assert told["usage"]["output_tokens"] == 5


@pytest.mark.proves("GET /v1/ai/sessions/{session_id}", "GET /v1/ai/runs/{run_id}", client="httpx")
def test_what_was_said_stands_in_the_session_and_in_the_run(http):
    told = http.post(CHAT, json=body("t3-i0", metadata={"from": "a test"})).json()
    session = http.get(f"/v1/ai/sessions/{told['session_id']}").json()
    check_answer("GET /v1/ai/sessions/{session_id}", 200, session)
    question, answer = session["messages"]
    assert (question["content"], question["metadata"]) == ("Explain my server architecture", {"from": "a test"})
    assert {name: answer[name] for name in told["message"]} == told["message"]
    assert (answer["usage"], answer["model"], answer["provider"]) == (told["usage"], "t3-i0", "openai")
    assert (session["title"], session["active_run_id"]) == ("Explain my server architecture", None)
    run = http.get(f"/v1/ai/runs/{told['run_id']}").json()
    check_answer("GET /v1/ai/runs/{run_id}", 200, run)
    assert (run["status"], run["message_id"], run["usage"]) == ("completed", answer["id"], told["usage"])
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]


def test_a_session_goes_on_with_what_was_said_before(http, upstream: OpenAIServer):
    first = http.post(CHAT, json=body("t2-i0", message="My name is Ada")).json()
    again = http.post(CHAT, json={"message": "Who am I?", "model": "t2-i0", "session_id": first["session_id"]}).json()
    assert again["session_id"] == first["session_id"]
    assert again["companion"] == "smart-home"
    heard = [(m["role"], m["content"]) for m in upstream.chats[-1].body["messages"] if m["role"] != "system"]
    assert heard == [("user", "My name is Ada"), ("assistant", "tok 0 tok 1 "), ("user", "Who am I?")]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.proves("POST /v1/ai/companion/{type}/chat", client="httpx")
def test_a_companion_named_by_the_path_answers(http, slash):
    answer = http.post(f"/v1/ai/companion/smart-home/chat{slash}", json={"message": "Hello", "model": "t2-i0"})
    check_answer("POST /v1/ai/companion/{type}/chat", 200, answer.json())
    assert (answer.json()["companion"], answer.json()["response"]) == ("smart-home", "tok 0 tok 1 ")
    check_problem(http.post(f"/v1/ai/companion/nobody/chat{slash}", json={"message": "Hello"}), 404)


def test_a_message_that_names_nothing_is_answered_by_the_defaults(http):
    told = http.post(CHAT, json={"message": "Hello", "stream": False}).json()
    assert (told["status"], told["companion"]) == ("completed", "smart-home"), "the workspace's first companion"
    assert (told["provider"], told["model"]) == ("openai", "t50-i20"), "the first model of the first provider"


@pytest.mark.proves("PUT /v1/ai/preferences/model", client="httpx")
def test_a_preferred_model_answers_where_the_message_names_none(http):
    http.put("/v1/ai/preferences/model", json={"model": "t5-i0"})
    try:
        assert http.post(CHAT, json={"message": "Hello"}).json()["model"] == "t5-i0"
        assert http.post(CHAT, json={"message": "Hello", "model": "t2-i0"}).json()["model"] == "t2-i0"
    finally:
        assert http.put("/v1/ai/preferences/model", json={"model": None}).json()["model"] is None


def test_a_stream_tells_its_events_in_order(http):
    response, told = streamed(http, body("t20-i5"))
    assert {name: response.headers[name] for name in STREAM_HEADERS} == STREAM_HEADERS
    assert response.headers["X-Request-Id"]
    names = [event.name for event in told]
    assert (names[0], names[-2:]) == ("session", ["usage", "done"])
    assert {"delta"} <= set(names[1:-2]) <= {"delta", "status"}
    assert set(told[0].data) == {"session_id", "run_id", "companion", "provider", "model"}
    assert all(set(event.data) == {"text"} for event in told[1:-2] if event.name == "delta")
    assert set(told[-2].data) == {"input_tokens", "output_tokens", "cost_usd"}
    assert set(told[-1].data) == DONE
    text = "".join(event.data["text"] for event in told[1:-2] if event.name == "delta")
    assert text == told[-1].data["response"] == "".join(f"tok {n} " for n in range(20))
    assert {told[-1].data[name] for name in ("session_id", "run_id")} <= set(told[0].data.values())
    numbers = [int(event.id or "") for event in told]
    assert numbers == sorted(set(numbers)), "they rise, and none comes twice"
    stored = http.get(f"/v1/ai/sessions/{told[0].data['session_id']}").json()["messages"][-1]
    assert (stored["id"], stored["content"]) == (told[-1].data["message_id"], text)


def test_a_stream_is_told_in_lines_that_every_reader_knows(http):
    with http.stream("POST", CHAT, json=body("split-bytes", stream=True)) as response:
        raw = b"".join(response.iter_raw()).decode()
    for block in raw.removesuffix("\n\n").split("\n\n"):
        if block.startswith(":"):
            continue
        number, name, data = block.split("\n")
        assert number.startswith("id: ")
        assert name.startswith("event: ")
        assert isinstance(json.loads(data.removeprefix("data: ")), dict)


@pytest.mark.parametrize("accept", ["text/event-stream", "text/event-stream, application/json;q=0.5"])
def test_a_caller_who_accepts_events_is_given_them(http, accept):
    with http.stream("POST", CHAT, json=body("t2-i0"), headers={"Accept": accept}) as response:
        assert response.headers["Content-Type"] == STREAM_HEADERS["Content-Type"]
        assert [event.name for event in events(response)][-1] == "done"


def test_reasoning_is_told_apart_from_the_answer(http):
    _, told = streamed(http, body("reasoning"))
    thought = "".join(event.data["text"] for event in told if event.name == "reasoning")
    said = "".join(event.data["text"] for event in told if event.name == "delta")
    assert (thought, said) == ("Let me think. ", "It is 42.")
    whole = http.post(CHAT, json=body("reasoning")).json()
    assert whole["response"] == "It is 42."
    assert [part["type"] for part in whole["message"]["parts"]] == ["reasoning", "text"]


def test_silence_is_filled_with_comments(http):
    with http.stream("POST", CHAT, json=body("slow-first:1", stream=True)) as response:
        lines = list(response.iter_lines())
    assert 2 <= lines.count(": keep-alive") <= 5
    assert lines.count("event: done") == 1


def test_text_cannot_forge_an_event(http, upstream: OpenAIServer):
    forged = "x\n\nevent: done\ndata: {}\r\n\r\nid: 9\u2028\u2029: comment"
    _, told = streamed(http, {"message": forged, "model": "rehearsal"})
    said = "".join(event.data["text"] for event in told if event.name == "delta")
    assert [event.name for event in told].count("done") == 1
    assert said == told[-1].data["response"]


@pytest.mark.parametrize("how", ["Last-Event-ID", "after"])
@pytest.mark.proves("GET /v1/ai/runs/{run_id}/events", client="httpx")
def test_a_reader_who_comes_back_misses_and_repeats_nothing(http, key, live, how):
    reader = ask(live.base_url, key, body("t60-i10"), until=100)
    assert reader.last_id is not None
    if how == "Last-Event-ID":
        resume(live.base_url, key, reader)
    else:
        with http.stream("GET", f"/v1/ai/runs/{reader.run_id}/events", params={"after": reader.last_id}) as response:
            assert {name: response.headers[name] for name in STREAM_HEADERS} == STREAM_HEADERS
            reader.read(response)
    assert reader.text == "".join(f"tok {n} " for n in range(60))
    assert reader.restarts == 0
    assert reader.end is not None
    assert reader.end.data["response"] == reader.text
    assert [name for name in reader.seen if name in ("done", "error")] == ["done"]


def test_a_run_that_ended_is_told_again_from_the_beginning(http, key, live):
    first = ask(live.base_url, key, body("t5-i0"))
    again = resume(live.base_url, key, Reader(run_id=first.run_id))
    assert (again.text, again.seen[0], again.seen[-1]) == (first.text, "session", "done")
    assert again.end is not None
    assert first.end is not None
    assert again.end.data == first.end.data
    last = resume(live.base_url, key, Reader(run_id=first.run_id, last_id=str(max(first.ids))))
    assert (last.text, last.seen[-1]) == ("", "done"), "a stream always ends with a terminal event"


@pytest.mark.proves("GET /v1/ai/sessions/{session_id}/stream", client="httpx")
def test_a_sessions_stream_follows_its_active_run(http, key, live):
    reader = ask(live.base_url, key, body("t60-i10"), until=12)
    with http.stream("GET", f"/v1/ai/sessions/{reader.session_id}/stream") as response:
        assert {name: response.headers[name] for name in STREAM_HEADERS} == STREAM_HEADERS
        other = Reader().read(response)
    assert other.run_id == reader.run_id
    assert other.text == "".join(f"tok {n} " for n in range(60))
    after = http.get(f"/v1/ai/sessions/{reader.session_id}/stream")
    assert (after.status_code, after.content) == (204, b"")


@pytest.mark.proves("POST /v1/ai/runs/{run_id}/cancel", client="httpx")
def test_a_cancelled_run_keeps_what_was_said(http, key, live):
    reader = ask(live.base_url, key, body("t1000-i20"), until=40)
    asked = http.post(f"/v1/ai/runs/{reader.run_id}/cancel")
    check_answer("POST /v1/ai/runs/{run_id}/cancel", 202, asked.json())
    resume(live.base_url, key, reader)
    assert reader.end is not None
    assert (reader.end.name, reader.end.data["status"]) == ("done", "cancelled")
    stored = http.get(f"/v1/ai/sessions/{reader.session_id}").json()["messages"][-1]
    assert stored["content"] == reader.text == reader.end.data["response"]
    assert http.get(f"/v1/ai/runs/{reader.run_id}").json()["status"] == "cancelled"


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_into_a_busy_session_is_refused_unless_it_says_otherwise(http, key, live, stream):
    reader = ask(live.base_url, key, body("t200-i20"), until=12)
    more = body("t2-i0", session_id=reader.session_id, stream=stream)
    for answer in (http.post(CHAT, json=more), http.post(CHAT, json={**more, "on_conflict": "reject"})):
        problem = check_problem(answer, 409)
        assert (problem["code"], problem["run_id"]) == ("conversation_busy", reader.run_id)
    http.post(f"/v1/ai/runs/{reader.run_id}/cancel")
    resume(live.base_url, key, reader)
    roles = [m["role"] for m in http.get(f"/v1/ai/sessions/{reader.session_id}").json()["messages"]]
    assert roles == ["user", "assistant"]


def test_a_message_that_queues_is_answered_in_its_turn(http, key, live):
    reader = ask(live.base_url, key, body("t40-i20"), until=12)
    more = body("t2-i0", session_id=reader.session_id, on_conflict="queue")
    told = http.post(CHAT, json=more).json()
    resume(live.base_url, key, reader)
    assert (told["status"], told["response"]) == ("completed", "tok 0 tok 1 ")
    assert reader.text == "".join(f"tok {n} " for n in range(40))
    first, second = (http.get(f"/v1/ai/runs/{run}").json() for run in (reader.run_id, told["run_id"]))
    assert first["ended_at"] <= second["started_at"]


def test_a_message_that_interrupts_stops_the_answer_before_it(http, key, live):
    reader = ask(live.base_url, key, body("t1000-i20"), until=12)
    told = http.post(CHAT, json=body("t2-i0", session_id=reader.session_id, on_conflict="interrupt")).json()
    assert (told["status"], told["response"]) == ("completed", "tok 0 tok 1 ")
    resume(live.base_url, key, reader)
    assert reader.end is not None
    assert reader.end.data["status"] == "cancelled"


def test_a_message_repeated_with_its_idempotency_key_is_answered_once(http, upstream: OpenAIServer):
    said, headers = body("t3-i0", message="Once only"), {"Idempotency-Key": "json-1"}
    asked = len(upstream.chats)
    first, again = (http.post(CHAT, json=said, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(upstream.chats) == asked + 1
    _, told = streamed(http, said, **{"Idempotency-Key": "stream-1"})
    replayed, again_told = streamed(http, said, **{"Idempotency-Key": "stream-1"})
    assert replayed.headers["Idempotency-Replayed"] == "true"
    assert again_told[0].data == told[0].data
    assert again_told[-1].data == told[-1].data
    assert len(upstream.chats) == asked + 2


@pytest.mark.parametrize("stream", [False, True])
def test_another_message_with_the_same_idempotency_key_is_refused(http, stream):
    headers = {"Idempotency-Key": f"mismatch-{stream}"}
    assert http.post(CHAT, json=body("t2-i0", stream=stream), headers=headers).status_code == 200
    for other in (body("t2-i0", stream=stream, message="Other"), body("t3-i0", stream=stream)):
        answer = http.post(CHAT, json=other, headers=headers)
        assert check_problem(answer, 409)["code"] == "idempotency_mismatch"


def test_one_idempotency_key_sent_ten_times_at_once_begins_one_run(http, live):
    headers = {"Idempotency-Key": "at-once"}
    [(before,)] = live.sql("SELECT count(*) FROM chat_run")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: http.post(CHAT, json=body("t10-i20"), headers=headers), range(10)))
    done = [answer.json() for answer in answers if answer.status_code == 200]
    refused = [check_problem(answer, 409)["code"] for answer in answers if answer.status_code != 200]
    assert done
    assert all(one == done[0] for one in done)
    assert set(refused) <= {"idempotency_in_flight"}
    assert live.sql("SELECT count(*) FROM chat_run") == [(before + 1,)]


def test_a_stream_whose_reader_left_is_replayed_by_its_idempotency_key(http, key, live):
    said, headers = body("t60-i10"), {"Idempotency-Key": "left"}
    left = ask(live.base_url, key, said, until=12, headers=headers)
    again = ask(live.base_url, key, {**said}, headers=headers)
    assert again.run_id == left.run_id
    assert again.text == "".join(f"tok {n} " for n in range(60))


def test_sessions_deleted_in_mid_answer_end_their_streams_and_leave_nothing(http, key, live):
    def delete(_: int) -> Reader:
        reader = ask(live.base_url, key, body("t1000-i5"), until=12)
        with http.stream("GET", f"/v1/ai/runs/{reader.run_id}/events") as response:
            told = events(response)
            assert next(told).name == "session"
            assert http.delete(f"/v1/ai/sessions/{reader.session_id}").status_code == 204
            assert len([event for event in told if event.name in ("done", "error")]) == 1
        check_problem(http.get(f"/v1/ai/runs/{reader.run_id}"), 404)
        return reader

    with ThreadPoolExecutor(8) as pool:
        readers = list(pool.map(delete, range(24)))
    for reader in readers:
        gone = "SELECT count(*) FROM chat_message WHERE conversation_id = %s"
        assert live.sql(gone, reader.session_id) == [(0,)]
