"""What /metrics says, as values by name and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Mapping

Labels = frozenset[tuple[str, str]]


class Scrape:
    """One exposition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values: Mapping[tuple[str, Labels], float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The value of the series with exactly these labels; None: there is none."""
        return self._values.get((name, frozenset(labels.items())))

    def named(self, name: str) -> dict[Labels, float]:
        """All series of a name."""
        return {labels: value for (found, labels), value in self._values.items() if found == name}


async def scrape(port: int) -> Scrape:
    """Ask a daemon on this host."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        assert response.status == 200
        return Scrape(await response.text())
