"""Errors of the user, as opposed to errors of the program: one line, exit code 2."""

from __future__ import annotations


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
