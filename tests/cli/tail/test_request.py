"""Requests from arguments, as curl reads them."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sse_middleware.cli.tail import request as module
from sse_middleware.cli.tail.request import Data, DataKind, Request, checked_url, request_of
from sse_middleware.errors import ConfigurationError

URL = "http://example.org/events"


def header(request: Request, name: bytes) -> list[bytes]:
    return [value for key, value in request.headers if key.lower() == name]


def data(kind: DataKind, *texts: str) -> list[Data]:
    return [Data(kind, text) for text in texts]


def test_a_plain_request_asks_for_an_event_stream() -> None:
    request = request_of(URL)
    assert (request.method, request.url, request.body) == ("GET", URL, None)
    assert header(request, b"accept") == [b"text/event-stream"]
    assert header(request, b"cache-control") == [b"no-cache"]
    assert header(request, b"content-type") == []
    assert header(request, b"user-agent")[0].startswith(b"sse_middleware/")


def test_headers_replace_the_defaults_and_may_come_twice() -> None:
    lines = [
        "ACCEPT: */*",
        "X-One:a",
        "X-One: b ",
        "X-Empty;",
        "User-Agent:",
        "X-Umlaut: é",
    ]
    request = request_of(URL, headers=lines)
    assert header(request, b"accept") == [b"*/*"]
    assert header(request, b"x-one") == [b"a", b"b"]
    assert header(request, b"x-empty") == [b""]
    assert header(request, b"user-agent") == []
    assert request.without == ("user-agent",)
    assert header(request, b"x-umlaut") == ["é".encode()]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no colon", "a header is written 'Name: value'"),
        ("", "a header is written"),
        (": value", "'' is no name of a header"),
        ("two words: value", "'two words' is no name of a header"),
        ("Näme: value", "is no name of a header"),
        ("Näme;", "is no name of a header"),
        ("Name: a\r\nInjected: b", "'Name' can't have a control character"),
        ("Name: a\x00", "can't have a control character"),
    ],
)
def test_a_header_that_cannot_be_sent(line: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        request_of(URL, headers=[line])


@pytest.mark.parametrize(
    "options", [{"cookies": ["a=b\n"]}, {"agent": "a\r\nb: c"}], ids=lambda one: next(iter(one))
)
def test_a_default_header_that_cannot_be_sent(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="control character"):
        request_of(URL, **options)


def test_who_asks() -> None:
    request = request_of(URL, user="me:pass:word", cookies=["a=1", "b=2"], agent="mine")
    assert header(request, b"authorization") == [b"Basic bWU6cGFzczp3b3Jk"]
    assert header(request, b"cookie") == [b"a=1; b=2"]
    assert header(request, b"user-agent") == [b"mine"]


def test_a_password_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return "secret"

    monkeypatch.setattr(module, "getpass", getpass)
    request = request_of(URL, user="me")
    assert header(request, b"authorization") == [b"Basic bWU6c2VjcmV0"]
    assert asked == ["Password of me: "]


@pytest.mark.parametrize(
    ("given", "body", "content_type"),
    [
        (data("data", "a=1"), b"a=1", module.FORM),
        (data("data", "a=1", "b=2"), b"a=1&b=2", module.FORM),
        (data("data", ""), b"", module.FORM),
        (data("raw", "@name"), b"@name", module.FORM),
        (data("json", '{"a": 1}'), b'{"a": 1}', module.JSON),
        (data("json", '{"a":', " 1}"), b'{"a": 1}', module.JSON),
        ([Data("data", "a"), Data("raw", "@b"), Data("binary", "c")], b"a&@b&c", module.FORM),
        (data("data", "é\udcff"), b"\xc3\xa9\xff", module.FORM),  # what is no UTF-8 on the line
    ],
)
def test_a_body(given: list[Data], body: bytes, content_type: bytes) -> None:
    request = request_of(URL, data=given)
    assert (request.method, request.body) == ("POST", body)
    assert header(request, b"content-type") == [content_type]


def test_the_method_and_the_type_of_a_body_can_be_given() -> None:
    request = request_of(
        URL, method="PUT", data=data("data", "<a/>"), headers=["content-type: text/xml"]
    )
    assert request.method == "PUT"
    assert header(request, b"content-type") == [b"text/xml"]


def test_bodies_of_files_and_of_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"a\r\nb\0c\n")

    def stdin() -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"in\n")))

    assert request_of(URL, data=data("data", f"@{path}")).body == b"abc"
    assert request_of(URL, data=data("binary", f"@{path}")).body == b"a\r\nb\0c\n"
    stdin()
    assert request_of(URL, data=data("data", "@-")).body == b"in"
    stdin()
    assert request_of(URL, data=data("json", "@-")).body == b"in\n"


def test_bodies_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        request_of(URL, data=data("data", f"@{tmp_path / 'none'}"))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigurationError, match="no stdin"):
        request_of(URL, data=data("data", "@-"))
    with pytest.raises(ConfigurationError, match="can't be joined"):
        request_of(URL, data=[Data("json", "{}"), Data("data", "a=1")])


@pytest.mark.parametrize("method", ["post", "GET IT", "", "A\r\n"])
def test_a_method_that_is_none(method: str) -> None:
    if not method:
        assert request_of(URL, method=method).method == "GET"
        return
    with pytest.raises(ConfigurationError, match="capital letters"):
        request_of(URL, method=method)


@pytest.mark.parametrize(
    ("url", "whole", "origin"),
    [
        ("localhost:8000/events", "http://localhost:8000/events", "http://localhost:8000"),
        ("example.org", "http://example.org", "http://example.org"),
        ("127.0.0.1:80/?a=http://c", "http://127.0.0.1:80/?a=http://c", "http://127.0.0.1:80"),
        ("HTTPS://a.b/x", "HTTPS://a.b/x", "https://a.b"),
        ("https://me:secret@a.b:1/x", "https://me:secret@a.b:1/x", "https://a.b:1"),
        ("http://[::1]:8000/", "http://[::1]:8000/", "http://[::1]:8000"),
        ("http://example.org.", "http://example.org.", "http://example.org."),
    ],
)
def test_a_url(url: str, whole: str, origin: str) -> None:
    assert checked_url(url) == whole
    assert request_of(url).origin == origin


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org", "its scheme is 'ftp', not http or https"),
        ("http://", "it has no host"),
        ("", "it has no host"),
        ("http:///events", "it has no host"),
        ("http://a..b/", "a part of its host is empty or too long"),
        (f"http://{'a' * 64}.org", "too long"),
        ("http://a:port/", "Port could not be cast"),
        ("http://a:99999/", "Port out of range"),
        ("http://[::1/", "Invalid IPv6 URL"),
        ("a.b/a b", "has a space or a control character"),
        ("a.b/\r\n", "has a space or a control character"),
        ('{"text": "hello"}', "Send JSON with --data-json"),
        ("[1]", "Send JSON with --data-json"),
    ],
)
def test_a_url_that_is_none(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        checked_url(url)
