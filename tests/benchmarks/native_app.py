"""A server that speaks the native dialect's chat and nothing else; the message says which fault it has."""

import asyncio
import json
import re

from benchmarks import upstream


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = json.loads((await receive())["body"])
    text = upstream.answer(int(re.match(r"t(\d+)", body["model"])[1]))
    headers = dict(scope["headers"])
    if body["message"] == "refuse" or headers.get(b"authorization") != b"Bearer right":
        await _whole(send, 429 if body["message"] == "refuse" else 401, {"code": "refused"})
    elif not body["stream"]:
        await _whole(send, 200, {"response": text.upper() if body["message"] == "shout" else text})
    else:
        await _stream(send, body["message"], text)


async def _whole(send, status, value):
    data = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _stream(send, fault, text):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number, piece in enumerate(_frames(fault, text)):
        frame = b"id: %d\n%b" % (number, piece)
        # One in two frames comes in two pieces, so that the reader has to put them together.
        for part in (frame[:7], frame[7:]) if number % 2 else (frame,):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.001)
        if fault == "hang" and number == 2:
            await asyncio.sleep(60)
        if fault == "cut" and number == 2:
            raise ConnectionResetError
    await send({"type": "http.response.body", "body": b""})


def _frames(fault, text):
    tokens = [f"{token} " for token in text.replace("tok ", "tok_").split()]
    tokens = [token.replace("_", " ") for token in tokens]
    if fault == "lose":
        del tokens[1]
    if fault == "double":
        tokens.insert(1, tokens[1])
    if fault == "swap":
        tokens[1], tokens[2] = tokens[2], tokens[1]
    yield _frame("session", {"session_id": "s", "run_id": "r"})
    if fault == "restart":
        yield _frame("delta", {"text": tokens[0]})
        yield _frame("restart", {"attempt": 2, "reason": "lease_expired"})
    yield b": keep-alive\n\n"
    for token in tokens:
        yield _frame("delta", {"text": token})
    if fault == "error":
        yield _frame("error", {"code": "provider_error", "message": "no", "retryable": True})
    elif fault != "silent end":
        yield _frame("done", {"response": "".join(tokens), "status": "completed"})
    if fault == "talk on":
        yield _frame("usage", {})


def _frame(name, data):
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
