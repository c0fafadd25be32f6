"""Errors of the user, as opposed to errors of the program: one line, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MANY = 15
"""More names than this are not listed in a message."""


class InputError(Exception):
    """Something the user gave is wrong: a file, a key, a flag, an environment variable.

    The message is one clear sentence (a list of offending files may follow on indented lines):
    what is wrong, where, and what to do. Every command prints it and exits with 2.
    """


class Stopped(Exception):
    """Work that cannot continue, through no fault of the user or the program: a full disk, a
    cluster that went away.

    The message is clear and short: what happened, where, and how to continue. Every command prints
    it and exits with 1.
    """


def list_offenders(offenders: list[str], *, shown: int = 10) -> str:
    """Indented lines naming the first ``shown`` offenders, then a count of the rest."""
    lines = [f"  {offender}" for offender in offenders[:shown]]
    if len(offenders) > shown:
        lines.append(f"  … and {len(offenders) - shown} more")
    return "\n".join(lines)


def nearest(name: object, known: Iterable[object], *, listed: str = "") -> str:
    """A hint for a name that is not known, to be put behind the message.

    Args:
        name: The name that was given.
        known: The names that there are.
        listed: What lists them, said where they are many; default: the first of them are named.
    """
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean `{close[0]}`?"
    if len(names) > _MANY:
        return f"; {listed}" if listed else f"; known: {', '.join(names[:_MANY])}, …"
    return f"; known: {', '.join(names)}" if names else ""
