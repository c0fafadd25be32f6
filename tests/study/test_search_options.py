"""What a study file may say about its search: steps, conditions, constraints, known trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution, IntDistribution

from refinevad.errors import InputError
from refinevad.testing.tiny_store import tiny_store
from study.config.load import study_of
from study.config.sections import ImportedTrial
from study.config.study_file import StudyFile
from study.ledger.records import TrialRecord, TrialResult
from study.search.proposal import first_proposals, ordered_search
from study.session.driver import time_left
from study.session.prepared import prepared
from study.space.constraints import Constraint
from study.space.dimension import Dimension
from study.space.encoding import Scale
from study.space.quantiles import at_quantile
from tests.study.test_driver import Bench
from tests.support.small_data import study_text
from tests.support.studies import made_study
from tests.support.workspace import SMALL_STUDY

Document = Any


def document(**changes: Any) -> Any:
    from refinevad.config.document import Document

    data = yaml.safe_load(SMALL_STUDY)
    for key, value in changes.items():
        data[key] = value if key in ("space", "constraints") else data.get(key, {}) | value
    return Document("s.yaml", data)


def study(**changes: Any) -> StudyFile:
    return study_of(document(**changes))


def refused(words: str, **changes: Any) -> None:
    with pytest.raises(InputError) as error:
        study(**changes)
    assert words in str(error.value)


SPACE: dict[str, Any] = {
    "d_proj": {"int": [4, 16, 4]},
    "d_emb": {"int": [4, 64, 4]},
    "injection": {"choice": ["cross_attention", "none"]},
    "threshold": {"uniform": [0.3, 0.7, 0.1], "when": {"injection": "cross_attention"}},
    "lr": {"log_uniform": [1e-5, 1e-1]},
}


# ---- steps


def test_a_range_with_a_step_has_its_values_and_no_others() -> None:
    whole = Dimension(int=(32, 512, 32)).distribution()
    assert whole == IntDistribution(32, 512, step=32)
    real = Dimension(uniform=(0.1, 0.5, 0.1)).distribution()
    assert real == FloatDistribution(0.1, 0.5, step=0.1)
    grid = np.linspace(0, 1, 1000, endpoint=False)
    assert {at_quantile(real, u) for u in grid} == {0.1, 0.2, 0.3, 0.4, 0.5}
    found = [at_quantile(whole, u) for u in grid]
    assert set(found) == set(range(32, 513, 32))
    counts = np.unique(found, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1, "all are as likely"


def test_codes_of_steps_come_back() -> None:
    for dimension in (Dimension(int=(4, 400, 4)), Dimension(uniform=(0.1, 0.5, 0.1))):
        scale = Scale("x", dimension.distribution())
        for u in (0.0, 0.3, 0.77, 0.999):
            value = at_quantile(scale.distribution, u)
            assert scale.decode(scale.code(value)) == value
    assert Scale("x", Dimension(int=(4, 400, 4)).distribution()).values is None, "100 are many"


@pytest.mark.parametrize(
    "sampler",
    ["tpe", "random", pytest.param("gp", marks=pytest.mark.slow), "cmaes", "nsgaii", "sobol"],
)
def test_every_sampler_keeps_to_the_steps_and_the_constraints(sampler: str) -> None:
    file = study(
        space=SPACE,
        constraints=["d_emb <= 3 * d_proj", "injection == 'none' or d_emb != 4"],
        search={"sampler": sampler, "space_filling": 4, "window": 1},
    )
    search = ordered_search(file)
    for number in range(16):
        params = search.ask()
        assert params["d_emb"] <= 3 * params["d_proj"]
        assert params["injection"] == "none" or params["d_emb"] != 4
        assert params["d_proj"] in (4, 8, 12, 16)
        assert params["threshold"] in (0.3, 0.4, 0.5, 0.6, 0.7), "to the last digit"
        search.record(number, params["lr"])


# ---- conditions


def test_a_hyperparameter_that_is_off_has_its_default() -> None:
    file = study(space=SPACE)
    base = {"d_proj": 8, "d_emb": 8, "lr": 1e-3, "threshold": 0.7}
    on = file.trial_config(base | {"injection": "cross_attention"})
    off = file.trial_config(base | {"injection": "none"})
    assert on.model.threshold == 0.7  # type: ignore[attr-defined]
    assert off.model.threshold == 0.5  # type: ignore[attr-defined]
    assert "threshold" not in file.active(base | {"injection": "none"})


def test_what_depends_on_what_is_off_is_off() -> None:
    space = SPACE | {"shift_temperature": {"uniform": [0.1, 3], "when": {"threshold": [0.3, 0.4]}}}
    file = study(space=space)
    base = {"d_proj": 8, "d_emb": 8, "lr": 1e-3, "threshold": 0.3, "shift_temperature": 1.0}
    assert "shift_temperature" in file.active(base | {"injection": "cross_attention"})
    assert "shift_temperature" not in file.active(base | {"injection": "none"})


def test_conditions_that_cannot_be() -> None:
    refused("cannot depend on itself", space=SPACE | {
        "threshold": {"uniform": [0.3, 0.7], "when": {"threshold": 0.3}}
    })  # fmt: skip
    refused("'linear' is not a choice of injection", space=SPACE | {
        "threshold": {"uniform": [0.3, 0.7], "when": {"injection": "linear"}}
    })  # fmt: skip
    refused("temporal is not searched", space=SPACE | {
        "threshold": {"uniform": [0.3, 0.7], "when": {"temporal": "mtn"}}
    })  # fmt: skip
    refused("depend on each other", space=SPACE | {
        "injection": {"choice": ["none", "linear"], "when": {"threshold": 0.3}},
        "threshold": {"uniform": [0.3, 0.7, 0.1], "when": {"injection": "linear"}},
    })  # fmt: skip


def test_old_studies_keep_their_hash() -> None:
    space = yaml.safe_load(SMALL_STUDY)["space"]
    determinants = study(space=space).determinants()
    assert "constraints" not in determinants
    assert determinants["search"].keys() == {"space_filling", "window"}
    assert all("when" not in dimension for dimension in determinants["space"].values())


# ---- constraints


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("d_proj % 4 == 0", True),
        ("d_proj // 4 > 2 or lr < 0.1", True),
        ("not (1 < d_proj <= 8)", False),
        ("injection in ['none', 'linear']", False),
        ("min(d_proj, 100) + abs(-2) == 10", True),
        ("2 * d_proj - 1 == 15 and d_proj / 2 == 4", True),
    ],
)
def test_a_constraint_has_the_value_that_python_gives_it(text: str, holds: bool) -> None:
    values = {"d_proj": 8, "lr": 0.01, "injection": "cross_attention"}
    functions = {"min": min, "abs": abs}
    assert Constraint(text).holds(values) is holds
    assert eval(text, {"__builtins__": functions}, values) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "d_proj.real", "[x for x in d_proj]", "lambda: 1",
        "d_proj ** 9999", "f'{d_proj}'", "d_proj if 1 else 2", "open('x')", "min(*d_proj)", "1 +",
        "(" * 300 + "1" + ")" * 300, "x" * 501,
    ],
)  # fmt: skip
def test_a_constraint_is_no_program(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed|expression|longer"):
        Constraint(text)


def test_constraints_that_cannot_be() -> None:
    refused("no setting 'd_projj'; did you mean", space=SPACE, constraints=["d_projj > 3"])
    refused("names nothing that is searched", space=SPACE, constraints=["d_model > 3"])
    refused(
        "has no answer for d_proj = 4, injection",
        space=SPACE,
        constraints=["injection + 1 > d_proj"],
    )
    refused("is not allowed", space=SPACE, constraints=["d_proj.real > 3"])
    with pytest.raises(InputError, match="hardly any of"):
        first_proposals(study(space=SPACE, constraints=["d_proj > 99"]), 3)


def test_a_constraint_makes_a_space_possible_that_was_refused() -> None:
    space = {"d_proj": {"int": [4, 9]}, "lr": {"log_uniform": [1e-4, 1e-2]}}
    refused("an impossible combination", space=space)
    file = study(
        space=space,
        constraints=["d_proj % injection_heads == 0"],
        search={"space_filling": 16, "window": 16},
        study={"trials": 16},
    )
    drawn = {params["d_proj"] for params in first_proposals(file, 16)}
    assert drawn == {4, 6, 8}


def test_space_filling_points_are_those_of_the_sequence_that_are_allowed() -> None:
    plain = first_proposals(study(space=SPACE, search={"space_filling": 64, "window": 64},
                                  study={"trials": 64}), 64)  # fmt: skip
    some = first_proposals(
        study(
            space=SPACE,
            search={"space_filling": 8, "window": 8},
            constraints=["d_emb <= 2 * d_proj"],
        ),
        8,
    )
    assert some == [p for p in plain if p["d_emb"] <= 2 * p["d_proj"]][:8]


# ---- known configurations


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


# ---- time


def record(number: int, started: float, finished: float) -> TrialRecord:
    asked = TrialRecord(number, f"s/u/{number}", {}, seed=0, state="RUNNING")
    return asked.with_result(TrialResult("COMPLETE", 0.5, started=started, finished=finished))


def test_the_time_used_is_that_in_which_a_trial_ran() -> None:
    file = study(study={"budget": "1m"})
    records = [record(0, 0, 10), record(1, 5, 12), record(2, 6, 8), record(3, 100, 105)]
    assert time_left(file, records) == 60 - 12 - 5
    assert time_left(study(), records) is None
    assert file.hash("f") == study().hash("f"), "a budget decides no result"


def test_a_budget_ends_the_study_after_the_running_trials_and_a_larger_one_extends_it(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path / "s", SMALL_STUDY.replace("seed: 7", "seed: 7, budget: 1h"))
    running = [bench.take(), bench.take()]
    bench.driver._left = 0.0  # the hour is over
    assert not bench.driver.finished, "two trials run"
    assert bench.driver.next_trial() is None
    for spec in running:
        bench.end(spec)
    assert bench.driver.finished
    assert not bench.driver.complete
    bench.ledger.close()
    whole = Bench(tmp_path / "calm")
    expected = whole.run_to_the_end()
    assert Bench(tmp_path / "s").run_to_the_end() == expected


# ---- all at once


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
