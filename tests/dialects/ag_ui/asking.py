"""What the tests of AG-UI's door say, and how a refusal of it looks."""

from django.core.signals import request_finished
from django.db import close_old_connections

from tests.cast import Api

PATH = "/api/ag-ui/smart-home"


def user(text="Hello", id_="m-1") -> dict:
    return {"id": id_, "role": "user", "content": text}


def body(*messages: dict, thread: str = "t-1", **more) -> dict:
    return {"threadId": thread, "runId": "r-1", "messages": list(messages or [user()]), **more}


def say(api: Api, *messages: dict, path: str = PATH, headers=None, **more):
    """Send it, and let go of its stream unread."""
    answer = api.post(path, body(*messages, **more), headers=headers or {})
    request_finished.disconnect(close_old_connections)  # as Django's client does where it reads to the end
    answer.close()
    request_finished.connect(close_old_connections)
    return answer


def refused(answer, status: int, code: str) -> dict:
    told = answer.json()
    assert (answer.status_code, told.get("code")) == (status, code), told
    assert answer["Content-Type"] == "application/json"
    assert set(told) >= {"message", "code", "requestId"}
    assert told["message"]
    assert told["requestId"] == answer["X-Request-Id"]
    assert None not in told.values()
    return told
