"""Tables and figures made from the checkpoints of the ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from refinevad.config.datasets import dataset_of
from refinevad.errors import Stopped
from refinevad.evaluation.localisation import IOUS, class_scores, map_clean, map_vadclip, truth_of
from refinevad.evaluation.recognition import confusion, recognition_metrics, threshold_accuracy
from refinevad.models.refinevad.config import RefineVADConfig
from study.analysis.paired import Values, interval, t_interval
from study.plots.style import heat_map
from study.plots.variants import lines
from study.reporting.card import Card
from study.reporting.variants import variants_card
from study.tables.test_scores import Scored, score_variants
from study.tables.videos import bars_card, curves_card, map_card

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.ledger.study import StudyView

VARIANT = "refinevad"
_FIGURES = {"tsne": map_card, "curves": curves_card, "bars": bars_card}


def model_cards(table: str, view: StudyView, store: Store) -> list[Card]:
    """One of the tables or figures; figures show the model of the first seed.

    Raises:
        Stopped: No model was kept.
    """
    scored = score_variants(view, store, [VARIANT, "hard"] if table == "classifier" else [VARIANT])
    ours = [s for s in scored if s.variant == VARIANT]
    if not ours:
        raise Stopped(
            f"{view.folder}: there is no checkpoint of the variant {VARIANT} (its trials failed or "
            f"diverged); see python -m study.report --study {view.folder}"
        )
    if table == "classifier":
        return [classifier_card(view, store, scored), confusion_card(view, store, ours)]
    if table == "detection":
        return [detection_card(view, store, ours)]
    return [_FIGURES[table](view, store, ours[0])]


def classifier_card(view: StudyView, store: Store, scored: Sequence[Scored]) -> Card:
    """Top-1, top-3 and mean recall of categories over abnormal test videos (Table 5)."""
    labels = store.test.labels
    values: dict[str, dict[str, dict[int, float]]] = {}
    model, dataset = view.file.model, view.file.data.dataset
    threshold = model.threshold if isinstance(model, RefineVADConfig) else 0.5
    for one in scored:
        measured = recognition_metrics(one.probs, labels)
        measured |= threshold_accuracy(one.probs, labels, threshold)
        for name, value in measured.items():
            values.setdefault(name, {}).setdefault(one.variant, {})[one.replicate] = value
    paper = dataset.published.get("classifier") if dataset else None
    commonest = next(iter(next(iter(values.pop("commonest").values())).values()))
    found: dict[str, Values] = dict(values)
    return variants_card(
        view,
        title="Recognising categories (the paper's Table 5)",
        variants=list(found["top1"]),
        reference=VARIANT,
        names={VARIANT: "soft classes", "hard": "hard classes"},
        metrics={
            "top1": "top-1 accuracy",
            "top3": "top-3 accuracy",
            "macro_recall": "mean recall",
            "normal_right": "normal videos right",
            "anomalies_right": "abnormal videos right",
        },
        values=found,
        paper=None
        if paper is None
        else {
            f"paper, {paper.where}: {what}": {VARIANT: paper.numbers[name]}
            for name, what in (("normal_right", "normal"), ("anomalies_right", "abnormal"))
        },
        marks={"top-1 accuracy": commonest},
        mark="always the commonest category",
        note=f"Over the {int(labels.any(axis=1).sum())} abnormal test videos and "
        f"{labels.shape[1]} categories. Always naming the commonest category is right in "
        f"{commonest:.1%}. Right, as the paper's Table 5 counts: a normal video in which no "
        f"category reaches {threshold:g}; an abnormal one whose most probable category does, and "
        "is its own.",
    )


def confusion_card(view: StudyView, store: Store, scored: Sequence[Scored]) -> Card:
    """Confusion matrix of categories, mean over seeds."""
    names = list(store.categories)
    shares = np.mean([confusion(s.probs, store.test.labels) for s in scored], axis=0)
    there = ~np.isnan(shares).any(axis=1)
    table = pd.DataFrame(shares[there], index=np.array(names)[there], columns=names)
    off = [
        (float(table.loc[row, column]), row, column)
        for row in table.index
        for column in names
        if row != column
    ]
    share, row, column = max(off)
    return Card(
        "Confusion of categories",
        f"The most common error: {row} is predicted as {column} in {share:.0%} of its test videos.",
        table.round(4).reset_index(names="category"),
        heat_map(table, across="most probable category", down="category", label="share of videos"),
        f"Share of a category's abnormal test videos (rows) for which each category is the most "
        f"probable (columns), mean over {len(scored)} seeds. {view.caption()}.",
    )


def detection_card(view: StudyView, store: Store, scored: Sequence[Scored]) -> Card:
    """mAP@IoU (Table 2), in VadCLIP's form and a clean one, both ways to score classes."""
    test = store.test
    dataset = dataset_of(store.categories)
    normal = dataset is not None and dataset.normal_events
    forms = {
        "VadCLIP's": (map_vadclip, truth_of(test, normal=normal)),
        "clean": (map_clean, truth_of(test, normal=False)),
    }
    rows: list[Mapping[str, object]] = []
    curves, silent = {}, 0
    for form, (measure, truth) in forms.items():
        for kind in ("argmax", "soft"):
            found = []
            for one in scored:
                matrix = class_scores(one.snippets, one.probs, test.offsets, kind)
                found.append(measure(matrix, test.offsets, truth, frames=test.snippet_frames))
            silent += sum(bool(f.silent) for f in found) if form == "VadCLIP's" else 0
            by_iou = {iou: t_interval([f.by_iou[iou] for f in found]) for iou in IOUS}
            curves[f"{form}, {kind}"] = by_iou
            rows.append(
                {"form": form, "class scores": kind}
                | {f"@{iou}": round(by_iou[iou].value, 2) for iou in IOUS}
                | {"mean": interval(t_interval([f.mean for f in found]), digits=2)}
            )
    best = max(rows, key=lambda row: float(str(row["mean"]).split()[0]))
    own = view.file.data.dataset
    paper = own.published.get("localisation") if own else None
    if paper is not None:
        numbers = {key: f"{value:.2f}" for key, value in paper.numbers.items()}
        rows.append({"form": f"paper, {paper.where}", "class scores": ""} | numbers)
    table = pd.DataFrame(rows)
    text = (
        f"Mean mAP over IoU 0.1 to 0.5: {best['mean']} at best ({best['form']} form, "
        f"{best['class scores']} class scores)."
    )
    if silent:
        text += (
            f" VadCLIP's own code would report 0 in {silent} of {2 * len(scored)} cases, where a "
            "class has no proposal."
        )
    return Card(
        "Categories localised in time (the paper's Table 2)",
        text,
        table,
        lines(curves, xlabel="IoU", ylabel="mAP (%)"),
        f"mAP in percent at each IoU, mean over {len(scored)} seeds with 95% intervals by "
        f"Student's t. {view.caption()}.",
        "Class scores per frame, which the paper does not define: argmax has the score in the "
        "column of the most probable category; soft has score times probability in each. VadCLIP's "
        "form counts the normal class too (docs/tables.md).",
    )
