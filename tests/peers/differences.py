"""Where the suite of another project differs under the middleware, and why that is meant."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

NOWHERE = "nowhere"
"""The middleware is not there: the suite as it is."""

PLACES = ("outermost", "innermost", "offered")
"""Where the middleware is; see `plugins/around_applications.py`."""


@dataclass(frozen=True)
class Difference:
    """Tests that fail, on purpose."""

    reason: str
    tests: tuple[str, ...]
    """With parameters in brackets, or without them: then the test fails with all parameters."""
    places: tuple[str, ...] = PLACES

    def covers(self, test: str) -> bool:
        return test in self.tests or test.partition("[")[0] in self.tests


ROOT_MAY_READ_ALL = Difference(
    "takes away the permission to read a file, which doesn't apply to root",
    ("tests/test_staticfiles.py::test_staticfiles_with_invalid_dir_permissions_returns_401",),
    (NOWHERE, *PLACES),
)

VARIES = Difference(
    "text without a length may become events, so Vary names Accept: the first look at a response "
    "goes by its media type alone, and doesn't see that this text is compressed",
    ("tests/middleware/test_gzip.py::test_gzip_streaming_response_emits_output_per_chunk",),
    ("outermost", "innermost"),
)

HIDES_PATHSEND = Difference(
    "a body that may be converted can't be a path that the server sends, so the middleware hides "
    "`http.response.pathsend` where the client accepts events",
    ("tests/middleware/test_base.py::test_asgi_pathsend_events",),
    ("offered",),
)

SPINS = {
    "offered": ("tests/middleware/test_gzip.py::test_gzip_ignored_for_pathsend_responses",),
}
"""Tests that are left out. Without `http.response.pathsend` a `FileResponse` asks again and again
for the disconnect, and the `receive` of these tests never waits: that is a loop without end."""

STARLETTE = (VARIES, HIDES_PATHSEND, *([ROOT_MAY_READ_ALL] if os.geteuid() == 0 else ()))

FASTAPI: tuple[Difference, ...] = ()


def unexpected(outcomes: dict[str, str], differences: Iterable[Difference]) -> list[str]:
    """Return the tests that fail, but not on purpose."""
    listed = [*differences]
    return [
        test
        for test, outcome in outcomes.items()
        if outcome == "failed" and not any(one.covers(test) for one in listed)
    ]


def outdated(outcomes: dict[str, str], differences: Iterable[Difference]) -> list[str]:
    """Return what is listed, but doesn't fail, or isn't there any more."""
    failed = {test for test, outcome in outcomes.items() if outcome == "failed"}
    found = []
    for one in differences:
        for listed in one.tests:
            covered = {test for test in outcomes if listed in (test, test.partition("[")[0])}
            if not covered or covered - failed:
                found.append(listed)
    return found
