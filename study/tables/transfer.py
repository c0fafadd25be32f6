"""Table 4: transfer to another data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import softmax

from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.core import ANOMALOUS
from study.plots.style import heat_map
from study.reporting.card import Card
from study.reporting.variants import variants_card
from study.tables.test_scores import score_model
from study.trials.checkpoints import checkpoint_path

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.ledger.study import StudyView

NAMES = {
    "full": "trained on the target",
    "frozen_core": "source's CORE, frozen",
    "zero_shot": "zero-shot",
}


def transfer_card(view: StudyView) -> Card:
    """Compares the three variants."""
    dataset = view.file.data.dataset
    paper = dataset.published.get("transfer") if dataset else None
    return variants_card(
        view,
        title="Transfer to the target",
        reference="full",
        names=NAMES,
        paper={f"paper, {paper.where}": paper.numbers} if paper else None,
        note=""
        if "frozen_core" not in view.file.variants
        else "The frozen variant takes category head and prototypes from a model of the source "
        "with the same seed number; everything else is trained on the target from the start, "
        "without the category loss.",
    )


def agreement_card(view: StudyView, checkpoints: Path, source: Store, target: Store) -> Card:
    """Shares of the source's categories in the target's classes."""
    model = view.file.model
    if not isinstance(model, RefineVADConfig):
        return Card(
            "Source categories of the target's classes",
            f"Not available: {model.name} predicts no categories.",
        )
    assert view.file.seeds is not None
    found = [
        score_model(checkpoint_path(checkpoints, seed), target, variant="source", replicate=seed)
        for seed in range(view.file.seeds)
    ]
    probs = np.mean([softmax(s.logits[..., ANOMALOUS], axis=1) for s in found], axis=0)  # (M, C)
    called = np.mean([(s.probs >= model.threshold).any(axis=1) for s in found], axis=0)
    labels = np.asarray(target.test.labels, dtype=bool)
    columns = {
        name: probs[labels[:, i]].mean(axis=0)
        for i, name in enumerate(target.categories)
        if labels[:, i].any()
    }
    columns["(normal)"] = probs[~labels.any(axis=1)].mean(axis=0)
    table = pd.DataFrame(columns, index=list(source.categories))
    classes = [name for name in columns if name != "(normal)"]
    shared = [name for name in classes if name in table.index]
    hits = [name for name in shared if table[name].idxmax() == name]
    if shared:
        text = (
            f"Of {len(shared)} classes that both data sets name, {len(hits)} have their largest "
            "share in the category of that name" + (f": {', '.join(hits)}." if hits else ".")
        )
    else:
        text = "The two data sets have no category name in common."
    seen, false = called[labels.any(axis=1)].mean(), called[~labels.any(axis=1)].mean()
    text += (
        f" The source's model is sure of a category in {seen:.0%} of the target's abnormal test "
        f"videos and in {false:.0%} of the normal ones."
    )
    return Card(
        "Source categories of the target's classes",
        text,
        table.reset_index(names="source category"),
        heat_map(table, across="target class", down="source category", label="mean share"),
        "Share that each category of the source (rows) has in the source's model, mean over the "
        f"target's test videos of a class (columns) and {len(found)} seeds. {view.caption()}.",
        "Share: softmax of the anomalous logits over all categories (eq. 6), so that columns sum "
        f"to 1. Sure: a probability of {model.threshold:g} or more.",
    )
