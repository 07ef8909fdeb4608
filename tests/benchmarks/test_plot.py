"""The plots of the benchmarks' figures."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.plot import PICTURES, Axis, draw, powers, read_curves

FOLDER = Path(__file__).parents[2] / "benchmarks"

TABLE = """
how it grows:

| clients | ours | theirs |
| --- | --- | --- |
| 1 | 1,500 | - |
| 10 | 2 | 0.5 |

And later it isn't the same. This is

how it grows:

| clients | ours |
| --- | --- |
| 3 | 4 |
"""


def test_numbers_have_commas_and_may_be_missing() -> None:
    first, _, _ = TABLE.partition("And later")
    assert read_curves(first, "how it grows:") == {
        "ours": [(1, 1500), (10, 2)],
        "theirs": [(10, 0.5)],
    }


def test_the_last_table_counts() -> None:
    assert read_curves(TABLE, "how it grows:") == {"ours": [(3, 4)]}


def test_a_missing_table_is_named() -> None:
    with pytest.raises(SystemExit, match="how it shrinks"):
        read_curves(TABLE, "how it shrinks:")


def test_an_axis_is_logarithmic() -> None:
    axis = Axis([1, 10, 100], 0, 200)
    assert [axis.place(one) for one in (1, 10, 100)] == [0, 100, 200]


def test_an_axis_of_one_number_has_a_place_for_it() -> None:
    assert Axis([5], 30, 200).place(5) == 30


@pytest.mark.parametrize(
    ("numbers", "expected"), [([0.2, 3], [0.1, 1, 10]), ([10, 100], [10, 100]), ([7], [1, 10])]
)
def test_powers_of_ten_are_around_the_numbers(numbers: list[float], expected: list[float]) -> None:
    assert powers(numbers) == pytest.approx(expected)


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_show_the_figures_of_the_readme(name: str) -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    pictured = [(panel, read_curves(text, panel.growth)) for panel in PICTURES[name]]
    picture = (FOLDER / f"{name}.svg").read_text("utf-8")
    assert picture == draw(pictured)
    assert ET.fromstring(picture).tag.endswith("svg")
