"""The hook for React and the composable for Vue, bundled and used in Chromium."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from examples.typed import app
from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import typescript_of
from tests.chromium import chromium
from tests.examples.test_app import serving
from tests.npm import install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PACKAGES = ("react@19.2.0", "react-dom@19.2.0", "vue@3.5.22", "esbuild@0.25.5")

EXAMPLES = Path(__file__).parents[2] / "examples" / "client"

IN_REACT = """
import { createElement, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { stream } from "./streams";
import { useStream } from "./use-stream.react";

function Prices({ symbol }) {
  const [shown, show] = useState("");
  const error = useStream(
    (signal) =>
      stream("/prices/{symbol}", { params: { symbol }, signal, baseUrl: globalThis.base }),
    (event) => { if (event.event === "sold") show(event.data.symbol); },
    [symbol],
  );
  return error ? `${error.response.status}` : shown;
}

const root = createRoot(document.body.appendChild(document.createElement("p")));
globalThis.show = (symbol) =>
  root.render(createElement(StrictMode, null, createElement(Prices, { symbol })));
globalThis.leave = () => root.unmount();
"""

IN_VUE = """
import { createApp, h, ref } from "vue";
import { stream } from "./streams";
import { useStream } from "./use-stream.vue";

const symbol = ref("");
const app = createApp({
  setup() {
    const shown = ref("");
    const error = useStream(
      (signal) => {
        const params = { symbol: symbol.value };
        return stream("/prices/{symbol}", { params, signal, baseUrl: globalThis.base });
      },
      (event) => { if (event.event === "sold") shown.value = event.data.symbol; },
    );
    return () => h("span", error.value ? `${error.value.response.status}` : shown.value);
  },
});
let mounted;
globalThis.show = (wanted) => {
  symbol.value = wanted;
  mounted ??= app.mount(document.body.appendChild(document.createElement("p")));
};
globalThis.leave = () => app.unmount();
"""


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    yield from serving("examples.typed")


def bundled(config: pytest.Config, folder: Path, code: str) -> str:
    packages = install(config, *PACKAGES)
    (folder / "node_modules").symlink_to(packages)
    (folder / "streams.ts").write_text(typescript_of(streams_of_application(app)), "utf-8")
    (folder / "main.js").write_text(code, "utf-8")
    for path in EXAMPLES.glob("*.ts"):
        (folder / path.name).write_text(path.read_text("utf-8"), "utf-8")
    defined = '--define:process.env.NODE_ENV="development"'
    command = [str(packages / ".bin" / "esbuild"), "--bundle", "--format=iife", defined, "main.js"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_left(symbol: str) -> Any:
    return lambda request: request.url.endswith(f"/prices/{symbol}")


@contextmanager
def shown(
    config: pytest.Config, example: str, tmp_path: Path, code: str, base: str
) -> Iterator[Any]:
    """Show A in a page, whose streams are those of a URL relative to the example's."""
    script = bundled(config, tmp_path, code)
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{example}/openapi.json")
        page.evaluate(f"globalThis.base = `${{location.origin}}{base}`")
        page.add_script_tag(content=script)
        page.evaluate("show('A')")
        yield page


@pytest.mark.parametrize("code", [IN_REACT, IN_VUE], ids=["react", "vue"])
def test_a_component_has_one_stream(
    pytestconfig: pytest.Config, example: str, tmp_path: Path, code: str
) -> None:
    with shown(pytestconfig, example, tmp_path, code, "") as page:
        page.get_by_text("A", exact=True).wait_for()
        with page.expect_event("requestfailed", is_left("A")):
            page.evaluate("show('B')")
        page.get_by_text("B", exact=True).wait_for()
        with page.expect_event("requestfailed", is_left("B")):
            page.evaluate("leave()")


@pytest.mark.parametrize("code", [IN_REACT, IN_VUE], ids=["react", "vue"])
def test_a_component_shows_the_error(
    pytestconfig: pytest.Config, example: str, tmp_path: Path, code: str
) -> None:
    with shown(pytestconfig, example, tmp_path, code, "/missing") as page:
        page.get_by_text("404", exact=True).wait_for()
