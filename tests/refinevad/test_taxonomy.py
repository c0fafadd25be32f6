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
        assert taxo.parse("Normal") == taxo.parse("normal") == taxo.parse("A") == ()


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


def test_a_category_written_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        taxonomy(("Fire", "fire"), [])
