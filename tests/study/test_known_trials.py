"""Trials that a study knows: enqueued, imported, drawn like the best of other studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from refinevad.errors import InputError
from refinevad.testing.tiny_store import tiny_store
from study.config.sections import ImportedTrial
from study.config.study_file import StudyFile
from study.search.proposal import first_proposals
from study.session.prepared import prepared
from tests.support.search_options import SPACE, refused, study
from tests.support.studies import made_study


def test_enqueued_configurations_come_first_and_the_rest_is_drawn(tmp_path: Path) -> None:
    own = {"lr": 0.01, "d_proj": 8}
    file = study(space=SPACE, search={"space_filling": 4, "window": 8, "enqueue": [own]})
    without = study(space=SPACE, search={"space_filling": 4, "window": 8})
    drawn = first_proposals(file, 5)
    assert own.items() <= drawn[0].items()
    assert drawn[0].keys() == SPACE.keys()
    assert drawn[1:] == first_proposals(without, 4), "the space-filling trials are the same"
    assert file.search.evenly(10) == range(1, 5)
    assert file.hash("f") != without.hash("f")


def test_what_is_enqueued_is_kept_however_rarely_the_rest_fits() -> None:
    """One draw in 128 fulfils the constraint: more than the sampler's attempts."""
    own = {"d_proj": 4}
    file = study(
        space=SPACE,
        search={"space_filling": 1, "window": 8, "enqueue": [own] * 8},
        constraints=["d_emb == 16 and injection == 'none' and lr < 0.0001 or d_proj > 4"],
    )
    for params in first_proposals(file, 8):
        assert params["d_proj"] == 4
        assert (params["d_emb"], params["injection"]) == (16, "none")


def test_enqueued_configurations_that_cannot_be() -> None:
    def bad(item: dict[str, Any], words: str) -> None:
        refused(words, space=SPACE, search={"enqueue": [item]}, constraints=["d_emb < 60"])

    bad({"lr": 3.0}, "lr = 3.0 is not in the space of lr")
    bad({"d_proj": 5}, "d_proj = 5 is not in the space")
    bad({"lrr": 0.1}, "lrr is not searched here; did you mean")
    bad({"d_emb": 64}, "does not fulfil the constraints")


def resolved(tmp_path: Path, say: list[str] | None = None, **search: Any) -> StudyFile:
    file = study(space=SPACE, search={"space_filling": 4, "window": 8} | search)
    notes = [] if say is None else say
    return prepared(file, tiny_store(), tmp_path / "runs" / "new", notes.append)


def test_a_table_and_the_defaults_are_enqueued(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("params/lr,d_proj,injection,other\n0.01,8,none,x\n0.02,,,y\n")
    entries = [{"preset": "defaults"}, {"from_csv": str(tmp_path / "t.csv")}]
    said: list[str] = []
    file = resolved(tmp_path, said, enqueue=entries)
    assert file.search.enqueue == (
        {"injection": "cross_attention", "lr": 0.003, "threshold": 0.5},  # 256 is not in the space
        {"d_proj": 8, "injection": "none", "lr": 0.01},
        {"lr": 0.02},
    )
    assert [type(v) for v in file.search.enqueue[1].values()] == [int, str, float]


def test_the_best_of_another_study_are_enqueued_or_imported(tmp_path: Path) -> None:
    made_study(tmp_path / "runs" / "old", 45, trials=50)
    from study.ledger.records import ranked
    from study.ledger.study import read_study

    space = {"lr": {"log_uniform": [1e-5, 1e-2]}, "d_emb": {"choice": [32, 64, 128]}}
    data = {"enqueue": [{"from_study": "old", "top": 3}], "import_trials": [{"from_study": "old"}]}
    file = study(space=space, search={"space_filling": 4, "window": 8} | data)
    found = prepared(file, tiny_store(), tmp_path / "runs" / "new")
    records = ranked(read_study(tmp_path / "runs" / "old").records)
    assert list(found.search.enqueue) == [
        {"d_emb": r.params["d_emb"], "lr": r.params["lr"]} for r in records[:3]
    ]
    trials = found.search.import_trials
    assert len(trials) == len(records)
    assert isinstance(trials[-1], ImportedTrial)
    assert trials[-1].objective == records[0].objective
    narrow = study(
        space={"lr": {"log_uniform": [1e-3, 1e-2]}, "d_emb": {"choice": [32, 64]}},
        search={"space_filling": 4, "window": 8, "import_trials": [{"from_study": "old"}]},
    )
    said: list[str] = []
    kept = prepared(narrow, tiny_store(), tmp_path / "runs" / "new", said.append)
    assert 0 < len(kept.search.import_trials) < len(records)
    assert len(kept.search.import_trials) + len(said) == len(records)
    assert "is not in this space" in said[0]


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_trials_of_a_storage_of_optuna_are_imported(
    tmp_path: Path, storage: str, direction: str
) -> None:
    url = f"sqlite:///{tmp_path}/o.db" if storage == "sqlite" else str(tmp_path / "o.log")
    place: Any = url
    if storage == "journal":
        backend = optuna.storages.journal.JournalFileBackend(url)
        place = optuna.storages.JournalStorage(backend)
    theirs = optuna.create_study(study_name="theirs", storage=place, direction=direction)
    for lr in (1e-4, 1e-2):
        trial = theirs.ask()
        trial.suggest_float("lr", 1e-6, 1.0)
        theirs.add_trial(
            optuna.trial.create_trial(
                params={"lr": lr, "d_proj": 8, "d_emb": 4, "injection": "none", "threshold": 0.3},
                distributions={
                    "lr": FloatDistribution(1e-6, 1.0), "d_proj": IntDistribution(1, 99),
                    "d_emb": IntDistribution(1, 99), "threshold": FloatDistribution(0, 1),
                    "injection": optuna.distributions.CategoricalDistribution(["none", "linear"]),
                },
                value=lr,
            )
        )  # fmt: skip
    file = resolved(tmp_path, import_trials=[{"from_optuna": url, "study": "theirs"}])
    sign = 1 if direction == "maximize" else -1
    assert [t.objective for t in file.search.import_trials] == [  # type: ignore[union-attr]
        sign * 1e-4, sign * 1e-2,
    ]  # fmt: skip


def test_the_sampler_learns_from_imported_trials_before_the_first_of_its_own() -> None:
    def proposed(best: float) -> list[float]:
        trials = [
            {
                "params": {
                    "lr": 10 ** (-5 + 4 * i / 39), "d_proj": 8, "d_emb": 8, "injection": "none",
                    "threshold": 0.5,
                },
                "objective": -abs(-5 + 4 * i / 39 - best),
            }
            for i in range(40)
        ]  # fmt: skip
        file = study(space=SPACE, search={"space_filling": 0, "window": 4, "import_trials": trials})
        return [float(np.log10(p["lr"])) for p in first_proposals(file, 4)]

    assert np.mean(proposed(-2.0)) > -3 > np.mean(proposed(-4.5))


def test_draws_are_like_the_best_of_another_study_where_these_differ(tmp_path: Path) -> None:
    """The made study's objective rises with lr (most) and lambda_cat; d_emb means nothing."""
    made_study(tmp_path / "runs" / "old", 160, trials=200, space_filling=150)
    space = {
        "lr": {"log_uniform": [1e-6, 1e-2]}, "d_emb": {"choice": [32, 64, 128]},
        "threshold": {"uniform": [0.0, 1.0]},
    }  # fmt: skip
    item = {"like_best_of": "old", "draws": 60}
    file = study(space=space, search={"space_filling": 4, "window": 8, "enqueue": [item]})
    said: list[str] = []
    found = prepared(file, tiny_store(), tmp_path / "runs" / "new", said.append).search.enqueue
    assert len(found) == 60
    assert said[0].startswith("60 configurations are drawn like the best of old in lr")
    from study.ledger.study import read_study

    records = [r for r in read_study(tmp_path / "runs" / "old").records if r.number < 150]
    best = sorted(records, key=lambda r: -(r.objective or 0.0))[:15]
    span = [f([np.log10(r.params["lr"]) for r in best]) for f in (min, max)]
    drawn = [np.log10(float(p["lr"])) for p in found]  # type: ignore[arg-type]
    inside = [span[0] - 0.8 < value < span[1] + 0.8 for value in drawn]
    assert all(inside)
    assert np.ptp([float(p["threshold"]) for p in found]) > 0.8, "evenly"  # type: ignore[arg-type]
    again = prepared(file, tiny_store(), tmp_path / "runs" / "new").search.enqueue
    assert again == found


def test_sources_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    def bad(words: str, **search: Any) -> None:
        with pytest.raises(InputError) as error:
            resolved(tmp_path, **search)
        assert words in str(error.value)

    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n")
    bad("no study here", enqueue=[{"from_study": "nowhere"}])
    bad("cannot be read", enqueue=[{"from_csv": str(tmp_path / "no.csv")}])
    bad("no column is a hyperparameter", enqueue=[{"from_csv": str(table)}])
    bad("no preset 'best'", enqueue=[{"preset": "best"}])
    bad("expected a whole number from 1", enqueue=[{"from_study": "old", "top": 0}])
    bad("give each source an entry of its own", enqueue=[{"from_csv": "x", "top": 3}])
    bad("Optuna cannot read it", import_trials=[{"from_optuna": f"sqlite:///{tmp_path}/x.db"}])
    bad("no such journal file", import_trials=[{"from_optuna": str(tmp_path / "x.log")}])
    bad("names from_study, from_csv or from_optuna", import_trials=[{"lr": 0.1}])
    table.write_text("lr,objective\n0.01,high\n")
    bad("line 2: objective 'high' is not a number", import_trials=[{"from_csv": str(table)}])
    table.write_text("lr\n0.01\n")
    bad("no trial with an objective", import_trials=[{"from_csv": str(table)}])
    table.write_text("lr,objective\n0.01,0.5\n")
    bad("no trial of from_csv=", import_trials=[{"from_csv": str(table)}])
