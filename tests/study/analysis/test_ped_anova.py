"""PED-ANOVA over codes, against Optuna's own over trials."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator

from study.analysis.forest import Sample
from study.analysis.ped_anova import ped_anova
from study.space.encoding import Encoder

SPACE: dict[str, BaseDistribution] = {
    "epochs": IntDistribution(5, 50),
    "layers": IntDistribution(1, 6),
    "lr": FloatDistribution(1e-5, 1e-2, log=True),
    "share": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(["x", "y", "z"]),
}


def test_it_is_optunas() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0), direction="maximize")
    rng = np.random.default_rng(0)
    for _ in range(200):
        trial = study.ask(SPACE)
        value = -((np.log10(trial.params["lr"]) + 3) ** 2) + (trial.params["kind"] == "y")
        study.tell(trial, value + 0.01 * rng.standard_normal())
    theirs = PedAnovaImportanceEvaluator().evaluate(study)
    trials = study.get_trials(deepcopy=False)
    encoder = Encoder(SPACE)
    sample = Sample(
        encoder.encode([t.params for t in trials]),
        np.array([t.value for t in trials], dtype=float),
        np.zeros(200, dtype=bool),
    )
    ours = ped_anova(encoder.scales, sample, rng.random(200))
    total = sum(theirs.values())
    for name, share in zip(encoder.names, ours, strict=False):
        assert share == pytest.approx(theirs[name] / total, rel=1e-6), name
    assert max(theirs, key=lambda name: theirs[name]) == "lr"
