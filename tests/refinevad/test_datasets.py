"""Every data set of the registry keeps the contract; a new one is tested by its line there."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from refinevad.config.data import DataConfig, FeatureSource
from refinevad.config.datasets import DATASETS, SYNTHETIC, Dataset, dataset_of, taxonomy
from refinevad.config.layouts import LAYOUTS
from refinevad.config.training import ObjectiveConfig, TrainConfig
from refinevad.data.annotations import read_annotations
from refinevad.data.layouts import listed_videos
from refinevad.data.problems import Problems
from refinevad.data.synthetic import STYLES
from refinevad.models.refinevad.config import RefineVADConfig

LISTS = {
    "xd": ("xd-violence-lists", "vadclip", "xd_CLIP_rgb.csv", "xd_CLIP_rgbtest.csv"),
    "ucf": ("ucf-crime-captions", "csv", "train.csv", "test.csv"),
    "msad": ("msad-captions", "csv", "train.csv", "test.csv"),
}
"""Folder of the real data, layout, training and test list."""
ANNOTATIONS = {"xd": "annotations.txt"}
EVERY = {**DATASETS, **SYNTHETIC}


def labels_of(real_data: Path, name: str, split: int) -> dict[str, str]:
    folder, layout, *lists = LISTS[name]
    problems = Problems()
    source = FeatureSource(layout=layout, root=real_data / folder)
    videos = listed_videos(source, {"train": real_data / folder / lists[split]}, problems)["train"]
    assert not problems
    return {video: entry.label or "" for video, entry in videos.items()}


@pytest.mark.parametrize("dataset", EVERY.values(), ids=EVERY)
class TestRegistered:
    def test_it_has_categories_and_the_headline_is_a_metric(self, dataset: Dataset) -> None:
        assert dataset.taxonomy.categories
        assert dataset.headline in get_args(ObjectiveConfig.model_fields["metric"].annotation)

    def test_every_category_and_code_parses_to_itself(self, dataset: Dataset) -> None:
        known = dataset.taxonomy
        assert len(known.codes) in (0, len(known.categories))
        for words in (known.categories, known.codes):
            for index, word in enumerate(words):
                assert known.parse(word) == (index,)

    def test_published_numbers_name_known_fields(self, dataset: Dataset) -> None:
        fields = {*RefineVADConfig.model_fields, *TrainConfig.model_fields}
        topics = {"results", "localisation", "ablation", "classifier", "injection"}
        assert {*dataset.published} <= {*topics, "importance", "transfer"}
        for topic, published in dataset.published.items():
            assert published.where.startswith("Table ")
            most = 100 if topic == "localisation" else 1  # mAP is in percent
            assert all(0 <= number <= most for number in published.numbers.values())
        if "results" in dataset.published:
            assert "RefineVAD" in dataset.published["results"].numbers
        if "importance" in dataset.published:
            assert {*dataset.published["importance"].numbers} <= fields


@pytest.mark.parametrize("name", DATASETS)
def test_a_study_file_names_it_by_its_key(name: str) -> None:
    assert DATASETS[name].name == DATASETS[name].taxonomy.name == name
    assert taxonomy(name, []) is DATASETS[name].taxonomy
    assert dataset_of(DATASETS[name].taxonomy.categories) is DATASETS[name]
    assert config_of(name).dataset is DATASETS[name]


def config_of(choice: object) -> DataConfig:
    source = {"layout": "csv", "root": ".", "train_list": "a", "test_list": "b"}
    return DataConfig.model_validate({"taxonomy": choice, "text": source, "annotations": "c"})


@pytest.mark.parametrize("name", sorted(LISTS.keys() & DATASETS.keys()))
def test_the_official_lists_have_the_published_counts_and_every_label_parses(
    real_data: Path, name: str
) -> None:
    dataset, counts = DATASETS[name], {}
    for split, key in enumerate(("train", "test")):
        labels = labels_of(real_data, name, split)
        parsed = [dataset.taxonomy.parse(label) for label in labels.values()]
        counts |= {key: len(parsed), f"{key}_abnormal": sum(map(bool, parsed))}
        if dataset.label_in_name:
            assert all(dataset.label_of(video) == label for video, label in labels.items())
        found = taxonomy("auto", labels.values())
        assert (found is dataset.taxonomy) == dataset.told_by_codes
    assert dataset.published_counts.items() <= counts.items()
    file = ANNOTATIONS.get(name, "Temporal_Anomaly_Annotation.txt")
    annotations = read_annotations(real_data / LISTS[name][0] / file)
    assert annotations.lists_normal == dataset.normal_listed


def test_generated_data_have_the_habits_of_a_data_set_and_none_of_its_numbers() -> None:
    assert SYNTHETIC.keys() == STYLES.keys()
    for kind, dataset in SYNTHETIC.items():
        of = DATASETS[dataset.taxonomy.name]
        for choice in ("auto", of.name):
            config = DataConfig.model_validate({"synthetic": kind, "taxonomy": choice})
            assert config.dataset is dataset
        assert (dataset.headline, dataset.normal_listed) == (of.headline, of.normal_listed)
        assert not dataset.published
        assert not dataset.published_counts


@pytest.mark.parametrize("choice", ["auto", ["Fire", "Fall"], ["xd"]])
def test_a_data_set_of_ones_own_needs_no_entry(choice: object) -> None:
    assert config_of(choice).dataset is None
    assert dataset_of(("Fire", "Fall")) is None


@pytest.mark.parametrize(
    ("given", "names", "hint"),
    [
        ({"taxonomy": "uvf", "synthetic": "ucf-like"}, [*DATASETS, "auto"], "ucf"),
        ({"synthetic": "xd-lik"}, SYNTHETIC, "xd-like"),
        ({"text": {"layout": "vadclib", "root": "."}}, LAYOUTS, "vadclip"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones_and_the_nearest(
    given: dict[str, object], names: list[str], hint: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        DataConfig.model_validate(given)
    first = str(caught.value.errors()[0]["ctx"]["error"])
    assert all(repr(name) in first for name in names)
    assert first.endswith(f"; did you mean `{hint}`?")


def test_an_editor_is_offered_the_names() -> None:
    schema = DataConfig.model_json_schema()
    properties = schema["properties"]
    assert properties["taxonomy"]["anyOf"][0]["enum"] == [*DATASETS, "auto"]
    assert properties["synthetic"]["anyOf"][0]["enum"] == [*SYNTHETIC]
    assert schema["$defs"]["FeatureSource"]["properties"]["layout"]["enum"] == [*LAYOUTS]
