import pytest

from benchmarks.wire import BadWire, Event, Events, Response

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=1\r\n world!\r\n0\r\n\r\n"
COUNTED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"


def read(raw, size):
    response, body = Response(), b""
    for start in range(0, len(raw), size):
        body += response.feed(raw[start : start + size])
    return response, body


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_response_is_the_same_however_it_is_cut(size):
    response, body = read(CHUNKED, size)
    assert (response.status, body, response.complete) == (200, b"hello world!", True)
    response, body = read(COUNTED, size)
    assert (response.status, body, response.complete) == (404, b"{}", True)


def test_a_response_without_its_last_chunk_is_not_complete():
    assert not read(CHUNKED[:-5], 1000)[0].complete


@pytest.mark.parametrize("raw", [
    b"HTTP/2 200\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhello\r\n",
    CHUNKED + b"x",
    COUNTED + b"x",
])  # fmt: skip
def test_malformed_responses_are_refused(raw):
    with pytest.raises(BadWire):
        read(raw, 1000)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_events_are_the_same_however_they_are_cut(size):
    raw = b": keep-alive\n\nid: 1\nevent: delta\ndata: {}\n\ndata: a\r\ndata: b\r\n\r\nevent: empty\n\nrest"
    events = Events()
    found = [event for start in range(0, len(raw), size) for event in events.feed(raw[start : start + size])]
    assert found == [Event("delta", "{}", "1"), Event("message", "a\nb")]
    assert events.rest == b"rest"
