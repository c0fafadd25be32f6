"""The hint behind a name that is not known."""

from __future__ import annotations

from refinevad.errors import nearest


def test_a_close_name_is_proposed_and_few_names_are_listed() -> None:
    assert nearest("verifi", ["run", "verify"]) == "; did you mean `verify`?"
    assert nearest("x", ["run", "verify"]) == "; known: run, verify"
    assert nearest("x", []) == ""


def test_many_names_are_not_listed_and_no_other_list_is_named() -> None:
    """A mistyped study among twenty has nothing to do with the keys of a study file."""
    many = [f"name{n:02}" for n in range(16)]
    assert nearest("x", many) == f"; known: {', '.join(many[:15])}, …"
    assert nearest("x", many, listed="`help` lists the keys") == "; `help` lists the keys"
    assert nearest("nam3", many) != nearest("x", many)
