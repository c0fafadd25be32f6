"""Figures 4 to 8: one model's scores of single test videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.manifold import TSNE
from sklearn.metrics import accuracy_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from refinevad.evaluation.metrics import weighted_auc
from study.plots.videos import VideoCurve, category_bars, score_curves, video_map
from study.reporting.card import Card

if TYPE_CHECKING:
    from refinevad.data import Store
    from study.ledger.study import StudyView
    from study.tables.test_scores import Scored

_ABNORMAL = 12
_NEIGHBOURS = 5


def shown_videos(store: Store) -> list[int]:
    """Twelve abnormal test videos, if possible one of each category, then a normal one.

    They are the first of each category in the order of the test list, not hand-picked.
    """
    labels = store.test.labels
    chosen: list[int] = []
    depth = 0
    while len(chosen) < _ABNORMAL and depth < len(labels):
        for category in range(labels.shape[1]):
            own = [int(m) for m in np.flatnonzero(labels[:, category]) if int(m) not in chosen]
            if own and len(chosen) < _ABNORMAL and sum(labels[chosen, category]) <= depth:
                chosen.append(own[0])
        depth += 1
    normal = np.flatnonzero(~labels.any(axis=1))
    return [*chosen, *normal[:1].tolist()]


def curves_card(view: StudyView, store: Store, scored: Scored) -> Card:
    """Score curves over the annotated events (Figures 5, 7 and 8)."""
    test, curves, rows = store.test, [], []
    for m in shown_videos(store):
        part = slice(test.offsets[m], test.offsets[m + 1])
        name, category = test.names[m], _category(store, m)
        curves.append(
            VideoCurve(
                _title(name, category),
                scored.snippets[part],
                test.snippet_frames,
                test.events[m],
            )
        )
        positive = test.truth[part].astype(np.int64)
        auc = weighted_auc(scored.snippets[part], positive, test.snippet_frames - positive)
        rows.append(
            {
                "video": name,
                "category": category,
                "frames": len(positive) * test.snippet_frames,
                "AUC inside": None if np.isnan(auc) else auc,
                "highest score": float(scored.snippets[part].max()),
            }
        )
    table = pd.DataFrame(rows)
    better = int((table["AUC inside"] > 0.5).sum())
    count = int(table["AUC inside"].notna().sum())
    return Card(
        "Score curves (Figures 5, 7 and 8)",
        f"In {better} of {count} abnormal videos shown, the event's frames score higher than the "
        "video's other frames more often than not (AUC inside above 0.5).",
        table,
        score_curves(curves),
        f"Anomaly score per snippet of {test.snippet_frames} frames, annotated events shaded; "
        f"{_model(scored)}. {view.caption()}.",
        "The first test video of each category in the order of the list, then a normal one; no "
        "video was chosen by its curve.",
    )


def bars_card(view: StudyView, store: Store, scored: Scored) -> Card:
    """Category probabilities of the same videos (Figure 6)."""
    videos = shown_videos(store)
    titles = [_title(store.test.names[m], _category(store, m)) for m in videos]
    own = [np.flatnonzero(store.test.labels[m]).tolist() for m in videos]
    hits = sum(int(scored.probs[m].argmax()) in o for m, o in zip(videos, own, strict=True) if o)
    count = sum(bool(o) for o in own)
    return Card(
        "Category probabilities (Figure 6)",
        f"The most probable category is the video's own in {hits} of {count} abnormal videos.",
        None,
        category_bars(titles, scored.probs[videos], store.categories, own),
        f"Probability of each category, the video's own label hatched; {_model(scored)}. "
        f"{view.caption()}.",
    )


def map_card(view: StudyView, store: Store, scored: Scored) -> Card:
    """t-SNE of the category logits of abnormal test videos (Figure 4)."""
    labels = store.test.labels
    one = np.flatnonzero(labels.sum(axis=1) == 1)  # of several labels none is the colour
    if len(one) <= _NEIGHBOURS:
        return Card("Category logits (Figure 4)", f"{len(one)} abnormal videos are too few to map.")
    names = np.array(store.categories)[labels[one].argmax(axis=1)]
    logits = scored.logits[one].reshape(len(one), -1).astype(np.float64)
    places = TSNE(
        perplexity=min(30.0, (len(one) - 1) / 3), random_state=view.seed("t-SNE") % 2**32
    ).fit_transform(logits)
    found = cross_val_predict(KNeighborsClassifier(_NEIGHBOURS), logits, names, cv=LeaveOneOut())
    right = float(accuracy_score(names, found))
    common = np.unique(names, return_counts=True)[1].max() / len(one)
    return Card(
        "Category logits (Figure 4)",
        f"The {_NEIGHBOURS} nearest neighbours among the logits name a test video's category in "
        f"{right:.0%} of {len(one)} videos; always naming the most common category: {common:.0%}.",
        None,
        video_map(places, names.tolist(), store.categories),
        f"t-SNE of the category logits of abnormal test videos; {_model(scored)}. "
        f"{view.caption()}.",
        "Distances and sizes of groups in a t-SNE mean nothing; the sentence above was computed "
        "from the logits themselves, each video left out in turn.",
    )


def _category(store: Store, m: int) -> str:
    own = [name for name, has in zip(store.categories, store.test.labels[m], strict=True) if has]
    return ", ".join(own) or "normal"


def _title(name: str, category: str) -> str:
    short = name if len(name) <= 26 else name[:12] + "…" + name[-12:]
    return short if category.split(",")[0].lower() in short.lower() else f"{short} ({category})"


def _model(scored: Scored) -> str:
    return f"variant {scored.variant}, seed {scored.replicate}"
