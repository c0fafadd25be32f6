"""A study with every option of the search at once, and one that allows nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from refinevad.errors import InputError
from tests.support.search_options import SPACE
from tests.support.small_data import study_text


def test_a_study_with_every_option_is_extended_and_verified(
    tmp_path: Path, stores: Path, data: Path
) -> None:
    import study as api
    from study import verify

    (tmp_path / "known.csv").write_text("lr,d_proj\n0.0005,8\n")
    done = tmp_path / "done.csv"
    done.write_text(
        "lr,d_proj,d_emb,injection,threshold,epochs,objective\n"
        "0.0005,8,16,none,0.5,3,0.8\n0.05,8,16,none,0.4,3,0.6\n9,8,16,none,0.4,3,0.6\n"
    )
    content = yaml.safe_load(study_text(data)) | {
        "objective": {"metric": "seg_auc", "epoch": "mean_second_half", "folds": 2},
        "search": {
            "space_filling": 3, "window": 2,
            "enqueue": [{"preset": "defaults"}, {"from_csv": str(tmp_path / "known.csv")}],
            "import_trials": [{"from_csv": str(done)}],
        },
        "pruning": {"rule": "halving", "reduction": 2, "first_rung": 1},
        "constraints": ["d_emb <= 4 * d_proj"],
        "space": SPACE | {"epochs": {"int": [2, 3]}},
    }  # fmt: skip
    content["model"] |= {"smooth_segments": "auto", "mil_loss": "bce", "normalise": "standard"}
    runs = tmp_path / "runs"

    def run(name: str, trials: int) -> str:
        own = content | {"study": {"name": name, "trials": trials, "seed": 7, "budget": "1h"}}
        return api.run_study(own, runs=runs, stores=stores, quiet=True).digest

    whole = run("whole", 9)
    run("extended", 4)
    done.unlink()  # what it said is in the ledger
    assert run("extended", 9) == whole
    states = {record.state for record in api.open_study(runs / "whole").view.records}
    assert states == {"COMPLETE", "PRUNED"}
    flags = ["--study", str(runs / "extended"), "--stores", str(stores), "--sample", "2"]
    assert verify.main(flags) == 0


def test_constraints_that_leave_nothing_are_refused_before_anything_is_written(
    tmp_path: Path, stores: Path, data: Path
) -> None:
    import study as api

    content = yaml.safe_load(study_text(data)) | {"constraints": ["lr > 9"]}
    with pytest.raises(InputError, match="hardly any of"):
        api.run_study(content, runs=tmp_path / "runs", stores=stores, quiet=True)
    assert not (tmp_path / "runs").exists()
