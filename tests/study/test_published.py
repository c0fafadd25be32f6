"""What stands beside our numbers, and which metric comes first, is the data set's to say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from refinevad.config.data import DataConfig
from refinevad.config.datasets import DATASETS, SYNTHETIC
from study.analysis.study_importance import paper_of
from study.reporting.variants import shown_metrics
from study.tables.ablations import ABLATION, INJECTION, VariantsTable
from study.tables.transfer import NAMES

REAL = {
    "text": {"layout": "csv", "root": ".", "train_list": "a", "test_list": "b"},
    "annotations": "c",
}


def view(**data: Any) -> Any:
    """What the functions here read of a study."""
    file = SimpleNamespace(data=DataConfig.model_validate(data))
    return SimpleNamespace(file=file, meta=SimpleNamespace(split="test"))


@pytest.mark.parametrize("name", DATASETS)
def test_published_transfers_name_the_variants_of_the_table(name: str) -> None:
    if published := DATASETS[name].published.get("transfer"):
        assert published.numbers.keys() <= NAMES.keys()


@pytest.mark.parametrize(("table", "topic"), [(ABLATION, "ablation"), (INJECTION, "injection")])
def test_published_comparisons_name_the_variants_of_their_table(
    table: VariantsTable, topic: str
) -> None:
    assert table.topic == topic
    found = [DATASETS[name].published[topic] for name in DATASETS if topic in
             DATASETS[name].published]  # fmt: skip
    assert found
    for published in found:
        assert published.numbers.keys() <= table.variants.keys()
        assert table.reference in published.numbers


def test_the_papers_importances_stand_beside_its_data_set_only() -> None:
    assert paper_of(view(taxonomy="xd", **REAL)) is DATASETS["xd"].published["importance"]
    for choice in ("ucf", "msad", "auto", ["Riot"]):
        assert paper_of(view(taxonomy=choice, **REAL)) is None


@pytest.mark.parametrize("kind", SYNTHETIC)
@pytest.mark.parametrize("choice", ["auto", *DATASETS])
def test_generated_data_never_have_the_papers_numbers_beside_them(kind: str, choice: str) -> None:
    made = view(synthetic=kind, taxonomy=choice)
    assert paper_of(made) is None
    assert made.file.data.dataset.published == {}


@pytest.mark.parametrize(
    ("data", "first"),
    [
        ({"taxonomy": "xd", **REAL}, "test AP"),
        ({"synthetic": "xd-like"}, "test AP"),
        ({"taxonomy": "ucf", **REAL}, "test AUC"),
        ({"synthetic": "ucf-like"}, "test AUC"),
        ({"taxonomy": "auto", **REAL}, "test AUC"),
    ],
)
def test_the_headline_comes_first(data: dict[str, Any], first: str) -> None:
    shown = list(shown_metrics(view(**data)).values())
    assert shown[0] == first
    assert sorted(shown) == ["test AP", "test AUC", "test AnoAUC"]
