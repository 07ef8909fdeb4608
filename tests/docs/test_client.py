"""What docs/client.md says of the written client, and the code that it shows."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sse_middleware
from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import typescript_of
from sse_middleware.testing import EventClient
from tests.cli.typescript import compiler
from tests.npm import install

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text("utf-8")
CODE = (Path(sse_middleware.__file__).parent / "cli" / "client" / "stream.ts").read_text("utf-8")
EXAMPLES = ROOT / "examples" / "client"

FRAMEWORKS = (
    *("react@19.2.0", "@types/react@19.2.2", "vue@3.5.22"),
    *("react-dom@19.2.0", "@types/react-dom@19.2.2", "esbuild@0.25.5", "typescript@5.9.3"),
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the application that the page's Python makes, in a module of its own."""
    page = ModuleType("client_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    exec("\n".join(blocks("python")), page.__dict__)
    return page.__dict__["app"]


def test_each_option_is_in_the_table() -> None:
    declared = CODE.partition("export interface StreamInit ")[2].partition("\n}\n")[0]
    options = re.findall(r"^  (\w+)\?:", declared, re.MULTILINE)
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == options


def test_the_statuses_of_the_table_are_those_of_the_code() -> None:
    [shown] = re.findall(r"\| \| ([\d, ]+), or no answer \| waiting \|", PAGE)
    [pattern] = re.findall(r"/\^\((\d+(?:\|[\d\[\]]+)+)\)\$/", CODE)
    matching = [str(code) for code in range(100, 600) if re.fullmatch(pattern, str(code))]
    assert shown.split(", ") == matching


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ("| `retryDelay` | 3000 |", "retryDelay = Math.min(3000, maxRetryDelay)"),
        ("| `maxRetryDelay` | 30000 |", "maxRetryDelay = 30_000"),
        ("up\nto a quarter of it is left out", "(1 - Math.random() / 4)"),
    ],
)
def test_the_numbers_are_those_of_the_code(shown: str, code: str) -> None:
    assert re.sub(r"\s", " ", shown) in re.sub(r"\s", " ", PAGE)
    assert code in CODE


@pytest.mark.anyio
async def test_other_origins_may_send_the_last_id(app: Any) -> None:
    headers = {
        "origin": "https://app.example.org",
        "access-control-request-method": "GET",
        "access-control-request-headers": "last-event-id,content-type",
    }
    async with EventClient(app) as client:
        preflight = await client.http.options("/prices/ACME", headers=headers)
        assert preflight.status_code == 200
        assert "last-event-id" in preflight.headers["access-control-allow-headers"]
        response = await client.http.get("/prices/ACME", headers={"origin": headers["origin"]})
    assert response.headers["access-control-expose-headers"] == "retry-after, date"


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_the_code_of_the_page_and_of_the_frameworks_compiles(
    app: Any, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(install(pytestconfig, *FRAMEWORKS))
    (tmp_path / "streams.ts").write_text(typescript_of(streams_of_application(app)), "utf-8")
    shown = [*blocks("typescript"), IN_VUE, IN_REACT.replace("HERE", blocks("tsx")[0])]
    for number, code in enumerate(shown):
        (tmp_path / f"shown{number}.ts").write_text(code, "utf-8")
    for path in EXAMPLES.glob("*.ts"):
        (tmp_path / path.name).write_text(path.read_text("utf-8"), "utf-8")
    paths = sorted(tmp_path.glob("*.ts"))
    done = compiler(pytestconfig)(*paths, options=("--noEmit", "--skipLibCheck"))
    assert done.returncode == 0, done.stdout
    assert len(paths) == 1 + 2 + 5 + 2


IN_REACT = """
import { useState } from "react";
import { stream } from "./streams";
import { useStream } from "./use-stream.react";

export function Price({ symbol }: { symbol: string }): string {
  const [price, setPrice] = useState(0);
  HERE
  return error ? String(error) : price.toFixed(2);
}
"""

IN_VUE = """
import { ref, type Ref } from "vue";
import { stream } from "./streams";
import { useStream } from "./use-stream.vue";

export function setup(symbol: Ref<string>): unknown {
  const price = ref(0);
  const error = useStream(
    (signal) => stream("/prices/{symbol}", { params: { symbol: symbol.value }, signal }),
    (event) => {
      if (event.event === "price") price.value = event.data.price;
    },
  );
  return { price, error };
}
"""
