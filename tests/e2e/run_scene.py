"""An answer of 2,000 tokens, with two pages that view it at two workers and lose them often.

Both have the identical text, exactly once, and the generator ran once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from .pages import Browser, browser
from .workers import Worker

APP = "tests.e2e.run_app:app"
TOKENS = 2000
HELD = TOKENS - 100
"""The tokens before which no cut is missing: the generator waits for them."""

CUTS = 20
EACH = 75
"""Tokens between two cuts, if the cuts can keep up."""

LONGEST = 100.0
"""Seconds of a scene, which needs a tenth of them on a quiet machine."""

Fault = Callable[[], Awaitable[object]]


class Journal:
    """What the generators of all workers have noted. See `run_app`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "journal"
        self.path.touch()

    def count(self, line: str) -> int:
        return self.path.read_text().splitlines().count(line)

    def finish(self, key: str) -> None:
        """Let a generator go on that waits before its last tokens."""
        with self.path.open("a") as file:
            file.write(f"finish {key}\n")


def chat(
    key: str, label: str, tokens: int = 100_000, *, restart: bool = False, waits: bool = False
) -> str:
    """Return what a page asks for that begins a run."""
    options = f"{'&restart=1' if restart else ''}{'&waits=1' if waits else ''}"
    return f"/chat/{key}?label={label}&tokens={tokens}{options}"


def text(label: str, tokens: int) -> list[str]:
    """Return the first tokens of a run."""
    return [f'"{label}{number} "' for number in range(tokens)]


async def a_long_answer(
    workers: Sequence[Worker], journal: Journal, key: str, faults: Mapping[int, Fault]
) -> None:
    """Play the scene.

    Args:
        workers: two of them.
        journal: of both.
        key: of the run.
        faults: what else happens after a cut of the connection, by its number.
    """
    one, other = workers
    target, expected = chat(key, "t", TOKENS, waits=True), text("t", TOKENS)
    async with browser(LONGEST) as pages:
        ann = bob = pages.open(one, target)
        for number in range(1, CUTS + 1):
            await ann.is_back(min(max(len(ann.tokens) + 1, number * EACH), HELD))
            ann.cut(workers[number % 2])
            if number == CUTS // 4:
                await ann.is_back(min(len(ann.tokens) + 1, HELD))
                ann.reload(other)
            if number == CUTS // 2:
                bob = pages.open(other, target)
            if number in faults:
                await faults[number]()
        journal.finish(key)
        for page in (ann, bob):
            await page.over.wait()
            assert page.tokens == expected
            assert (page.failures, page.gaps) == ([], [])
        assert ann.connections >= CUTS + len(("the first", "that of the reload", "the last"))
        await _it_is_over(pages, workers, key, target, expected)
    assert journal.count(f"began {key} t") == journal.count(f"closed {key} t") == 1


async def _it_is_over(
    pages: Browser, workers: Sequence[Worker], key: str, target: str, expected: list[str]
) -> None:
    """Know of both workers that the run is done, and that they have all of it yet."""
    for worker in workers:
        assert await pages.get(worker, f"/state/{key}") == "done"
        assert (await pages.whole(worker, target)).tokens == expected
