"""The plots of the benchmarks' figures."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.plot import (
    CURVES,
    IN_THE_DARK,
    INK,
    PAPER,
    PICTURES,
    Axis,
    draw,
    powers,
    read_curves,
)

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


@pytest.mark.parametrize("name", PICTURES)
def test_each_colour_of_a_picture_has_one_for_the_dark(name: str) -> None:
    picture = (FOLDER / f"{name}.svg").read_text("utf-8")
    _, _, drawn = picture.partition("</style>")
    assert set(re.findall(r"#[0-9a-f]{6}", drawn)) <= set(IN_THE_DARK)


@pytest.mark.parametrize("colour", [INK, *CURVES])
def test_a_colour_can_be_read_on_the_paper(colour: str) -> None:
    assert contrast(colour, PAPER) >= WCAG_AA
    assert contrast(IN_THE_DARK[colour], IN_THE_DARK[PAPER]) >= WCAG_AA


WCAG_AA = 4.5
"""The least contrast of text: WCAG 2.2, 1.4.3."""


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
