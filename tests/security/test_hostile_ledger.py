"""A study's folder from somebody else: shown in MLflow or gone on with, it can neither run code
nor write outside its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.ledger.writer import Ledger
from tests.security.malice import call, refusal
from tests.support.ledgers import made, meta

Lines = list[dict[str, Any]]


def set_meta(lines: Lines, **changes: Any) -> None:
    for line in lines:
        if "meta" in line.get("user_attr", {}):
            line["user_attr"]["meta"] |= changes


def set_trials(lines: Lines, value: Any) -> None:
    for line in lines:
        if "trials" in line.get("user_attr", {}):
            line["user_attr"]["trials"] = value


def set_distribution(lines: Lines, text: str) -> None:
    for line in lines:
        if "distributions" in line:
            line["distributions"]["lr"] = text


LIES: dict[str, Callable[[Lines], object]] = {
    "name that leaves mlruns": lambda lines: set_meta(lines, name="../../up"),
    "absolute name": lambda lines: set_meta(lines, name="/up"),
    "uid that ends a quotation": lambda lines: set_meta(lines, uid="0' OR tags.x = 'y"),
    "no name": lambda lines: set_meta(lines, name=None),
    "trials in words": lambda lines: set_trials(lines, "many"),
    "more of meta": lambda lines: set_meta(lines, config=[1]),
    "unknown operation": lambda lines: lines.append({"op_code": 99, "worker_id": "x"}),
    "no operation": lambda lines: lines.append({"worker_id": "x"}),
    "unknown distribution": lambda lines: set_distribution(lines, '{"name": "os.system"}'),
    "distribution of nothing": lambda lines: set_distribution(lines, "[]"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_a_ledger_that_lies_is_refused(tmp_path: Path, lie: Callable[[Lines], object]) -> None:
    folder = tmp_path / "workspace" / "runs" / "small"
    made(folder, 1)
    journal = folder / "journal.log"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lie(lines)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = sorted(tmp_path.rglob("*"))
    message = refusal(call(tmp_path / "workspace", "study.publish", "--study", "small"))
    assert message.startswith("runs/small/journal.log: the ledger is damaged")
    assert sorted(tmp_path.rglob("*")) == before


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "small"
    Ledger(folder, meta("small")).close()
    with (folder / "journal.log").open("a") as file:
        file.write(100_000 * "[" + 100_000 * "]" + "\n")
    message = refusal(call(tmp_path, "study.publish", "--study", "small"))
    assert message.startswith("runs/small/journal.log: the ledger is damaged")
