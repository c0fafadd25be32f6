"""Writes the tables of the pages that registries decide: ``python docs/write_tables.py``."""

from __future__ import annotations

from pathlib import Path

from refinevad.config.costs import costs_table
from refinevad.config.layouts import layouts_table
from study.config.samplers import samplers_table

ROOT = Path(__file__).resolve().parents[1]
TABLES = {
    ROOT / "docs" / "data.md": {"layouts": layouts_table},
    ROOT / "docs" / "search.md": {"costs": costs_table},
    ROOT / "docs" / "study.md": {"samplers": samplers_table},
}
"""Page -> name of a table, as its marks say -> what writes it."""


def page(path: Path) -> str:
    """A page with its tables as the registries have them now."""
    text = path.read_text(encoding="utf-8")
    for name, table in TABLES[path].items():
        mark = f"<!-- {name}: written by python docs/write_tables.py -->\n"
        end = f"<!-- {name} end -->\n"
        before, _, rest = text.partition(mark)
        _, _, after = rest.partition(end)
        text = before + mark + table() + end + after
    return text


if __name__ == "__main__":
    for path in TABLES:
        path.write_text(page(path), encoding="utf-8")
