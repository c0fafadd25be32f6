from __future__ import annotations

import pytest

from refinevad.config.datasets import MSAD, UCF, XD, taxonomy
from refinevad.errors import InputError


def test_the_three_data_sets_have_the_published_categories() -> None:
    assert len(UCF.categories) == 13
    assert list(UCF.categories) == sorted(UCF.categories)
    assert len(XD.categories) == 6
    assert len(MSAD.categories) == 11


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("G-B2-B6", {"Explosion", "Shooting", "Car accident"}),
        ("B2-0-0", {"Shooting"}),
        ("B1", {"Fighting"}),
        ("A", set()),
        ("Car accident", {"Car accident"}),
    ],
)
def test_xd_labels_name_all_their_categories(label: str, names: set[str]) -> None:
    assert {XD.categories[i] for i in XD.parse(label)} == names


def test_normal_is_no_category_however_it_is_spelled() -> None:
    for taxo in (UCF, XD, MSAD):
        assert taxo.parse("Normal") == taxo.parse("normal") == ()
    assert XD.parse("A") == ()
    with pytest.raises(InputError, match="unknown class 'A'"):
        UCF.parse("A")


def test_spelling_of_case_and_spaces_does_not_matter() -> None:
    assert UCF.parse("road_accidents") == UCF.parse("RoadAccidents") != ()
    assert MSAD.parse("People") == MSAD.parse("People_falling") != ()


def test_unknown_class_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown class 'Fightng'.*'Fighting'"):
        UCF.parse("Fightng")
    with pytest.raises(InputError, match=r"unknown class 'B3-0-0'"):
        XD.parse("B3-0-0")


def test_auto_recognises_xd_codes_and_otherwise_sorts_the_training_labels() -> None:
    assert taxonomy("auto", ["B1-0-0", "G-B2-B6", "A"]) is XD
    found = taxonomy("auto", ["Fire", "Normal", "Arson", "Fire"])
    assert found.categories == ("Arson", "Fire")
    assert taxonomy(("Fall", "Fire"), []).parse("Fire") == (1,)


@pytest.mark.parametrize(
    "word",
    ["Normal", "normal_videos", "NonFight", "non-fight", "none", "Background", "正常", "0"],
)
def test_the_usual_words_for_normal_are_known(word: str) -> None:
    found = taxonomy("auto", ["Fire", word, "Normal"])
    assert found.categories == ("Fire",)
    assert found.parse(word) == ()
    assert UCF.parse(word) == ()
    assert taxonomy(("Fire",), []).parse(word) == ()


def test_labels_of_zero_and_one_are_normal_and_abnormal() -> None:
    found = taxonomy("auto", ["0", "1"])
    assert found.categories == ("1",)
    assert (found.parse("0"), found.parse("1")) == ((), (0,))


def test_an_own_category_called_a_is_one() -> None:
    found = taxonomy("auto", ["A", "B", "Normal"])
    assert found.categories == ("A", "B")
    assert found.parse("A") == (0,)
    assert XD.parse("A") == ()


def test_own_words_for_normal_take_the_place_of_the_usual_ones() -> None:
    found = taxonomy("auto", ["ok", "Nothing", "Fire"], ["OK"])
    assert found.categories == ("Fire", "Nothing")
    assert found.parse("ok") == ()
    with pytest.raises(InputError, match=r"\[ok, Normal\]"):
        taxonomy("auto", ["ok", "Normal", "Fire"], ["OK"])
    assert taxonomy("ucf", [], ["ok"]).parse("ok") == ()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["Fire", "Fall"], "no training video is normal: the labels are Fall, Fire"),
        (["Fire", "Normal", "Normal2"], r"'Normal2' looks like one of normal.*\[Normal, Normal2\]"),
        (["Fights", "Normal", "No-Fights!"], "'No-Fights!' looks like one of normal"),
        (["RoadAccident", "RoadAccidents", "Normal"], "two spellings of one category"),
        (["Vandalism", "Vandallism", "Normal"], "two spellings of one category"),
    ],
)
def test_labels_that_would_train_wrong_videos_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        taxonomy("auto", labels)


def test_names_that_are_only_near_are_left_alone() -> None:
    for known in (UCF, MSAD, XD):
        taxonomy("auto", [*known.categories, "Normal"])
    assert len(taxonomy("auto", ["class10", "class11", "Normal"]).categories) == 2


def test_a_category_written_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        taxonomy(("Fire", "fire"), [])
