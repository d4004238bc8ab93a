"""The colours of the report's charts, as people see them whose eyes lack a kind of cone."""

from __future__ import annotations

import math
import re
from itertools import combinations

import pytest

from syncer.report.style import CSS, SERIES

# What each kind of colour vision makes of linear RGB (Machado, Oliveira and Fernandes, 2009).
VISIONS = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
DAYLIGHT = (0.9505, 1.0, 1.0888)
LIGHT, DARK, PAPER = (
    {
        name: f"#{digits.ljust(6, digits[0])}"
        for name, digits in re.findall(r"--(\S+): #(\w+);", rules)
    }
    for rules in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
)

Colour = tuple[float, ...]


def linear(colour: str) -> Colour:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return tuple(one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)


def product(matrix: tuple[tuple[float, ...], ...], colour: Colour) -> Colour:
    return tuple(sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)


def lab(colour: Colour) -> Colour:
    """CIELAB, in which distances are about as large as they look."""
    x, y, z = (
        max(value / white, 0) ** (1 / 3)
        for value, white in zip(product(TO_XYZ, colour), DAYLIGHT, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: str, other: str, vision: str) -> float:
    seen = [
        lab(tuple(min(max(part, 0.0), 1.0) for part in product(VISIONS[vision], linear(colour))))
        for colour in (one, other)
    ]
    return math.dist(*seen)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(product(TO_XYZ, linear(colour))[1] for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=["light", "dark", "paper"])
def test_no_two_series_look_alike(theme: dict[str, str], vision: str) -> None:
    for one, other in combinations(SERIES, 2):
        assert distance(theme[one], theme[other], vision) > 20, (one, other)


@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=["light", "dark", "paper"])
def test_what_is_drawn_and_written_stands_out_from_its_ground(theme: dict[str, str]) -> None:
    for drawn in (*SERIES, "negative"):
        assert contrast(theme[drawn], theme["card"]) >= 3, drawn
    for written, ground in (("ink", "card"), ("faint", "card"), ("faint", "page")):
        assert contrast(theme[written], theme[ground]) >= 4.5, written
    for kind in ("good", "bad", "look"):
        assert contrast(theme[kind], theme[f"{kind}-soft"]) >= 4.5, kind
