"""Without httpx the test kit says which extra it needs."""

import subprocess
import sys
from importlib import import_module

import pytest

SAID = "sse_middleware.testing needs httpx: pip install 'sse_middleware[testing]'"

WITHOUT_HTTPX = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name == "httpx":
            raise ModuleNotFoundError("No module named 'httpx'", name=name)

sys.meta_path.insert(0, Nothing())
"""


def error_of(statement: str) -> str:
    """Return the last line that a process without httpx writes."""
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT_HTTPX}\n{statement}"],
        stderr=subprocess.PIPE,
        check=False,
        text=True,
    )
    return done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    "statement",
    [
        "import sse_middleware.testing",
        "from sse_middleware.testing import EventClient",
        "from sse_middleware.testing.virtual_time.clock import VirtualTime",
        "import sse_middleware.testing.sync",
    ],
)
def test_the_import_says_which_extra(statement: str) -> None:
    assert error_of(statement) == f"ImportError: {SAID}"


@pytest.mark.parametrize(
    "statement", ["import sse_middleware", "import sse_middleware.pytest_plugin"]
)
def test_what_does_not_need_it_can_be_imported(statement: str) -> None:
    assert error_of(statement) == ""


def test_the_cause_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "sse_middleware.testing")
    with pytest.raises(ImportError) as caught:
        import_module("sse_middleware.testing")
    assert str(caught.value) == SAID
    assert isinstance(caught.value.__cause__, ImportError)
