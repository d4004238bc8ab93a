"""Write what was measured into the document, and draw its picture.

    python -m benchmarks.document [RESULTS.json [docs/performance.md]]

replaces what is between `<!-- measured: NAME -->` and `<!-- end -->`, for each part that the
results have; the others stay. The picture goes beside the document, as `performance.svg`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.picture import draw
from benchmarks.processes import Failed
from benchmarks.report import blocks
from benchmarks.results import read_results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.results import Results

RESULTS: Final = Path(".bench/results.json")
DOCUMENT: Final = Path("docs/performance.md")


def replace_blocks(text: str, parts: Mapping[str, str]) -> str:
    """Put each part in its place; Failed where the document has no such place."""
    for name, part in parts.items():
        place = re.search(rf"<!-- measured: {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        if place is None:
            raise Failed(f"the document has no place for {name}")
        text = f"{text[: place.start(1)]}\n{part.strip()}\n\n{text[place.end(1) :]}"
    return text


def rewrite(document: Path, results: Results) -> None:
    """Rewrite the document; Failed where its figures would be of writes that nothing waited for."""
    if (fsync := results.machine.postgres.get("fsync")) != "on":
        raise Failed(f"measured with fsync = {fsync}, as --quick does: such figures tell nothing")
    document.write_text(replace_blocks(document.read_text(), blocks(results)))
    if results.sync:
        document.with_suffix(".svg").write_text(draw(results.sync))


def main() -> None:
    """Read the results, and rewrite the document."""
    given = [Path(path) for path in sys.argv[1:]]
    try:
        rewrite(given[1] if given[1:] else DOCUMENT, read_results(given[0] if given else RESULTS))
    except Failed as failure:
        sys.exit(f"document: {failure}")


if __name__ == "__main__":
    main()
