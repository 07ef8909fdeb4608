"""Serves the application of docs/runs.md. Its model waits in the middle until /go is requested.

So a test can cut a stream while the answer is being written.
"""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import uvicorn

PAGE = Path(__file__).parents[3] / "docs" / "runs.md"


def documented_app() -> Any:
    names: dict[str, Any] = {"__name__": "docs_runs"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(code, names)
    going_on = anyio.Event()

    async def model(text: str) -> AsyncIterator[str]:
        first, *others = text.split()
        yield f"{first} "
        await going_on.wait()
        for word in others:
            yield f"{word} "

    async def go() -> None:
        going_on.set()

    names["model"] = model
    names["app"].post("/go")(go)
    return names["app"]


if __name__ == "__main__":
    uvicorn.run(documented_app(), host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
