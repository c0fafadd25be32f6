"""All problems of a data set, in one message."""

from __future__ import annotations

from refinevad.errors import InputError, list_offenders


class Problems:
    """Collects offenders by kind of problem, so that one run names all of them."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}

    def add(self, problem: str, offender: str) -> None:
        """Notes one offender (a file, a video) of a kind of problem (a sentence with advice)."""
        self._found.setdefault(problem, []).append(offender)

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_any(self) -> None:
        """Raises one InputError with every kind and its offenders, if there are any."""
        if not self._found:
            return
        parts = [
            f"{problem} ({len(offenders)}):\n{list_offenders(offenders)}"
            for problem, offenders in self._found.items()
        ]
        head = "" if len(parts) == 1 else f"{len(parts)} kinds of problems in the data:\n"
        raise InputError(head + "\n".join(parts))
