"""The data check: reads again the store that the study was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from refinevad.data import Store, open_store, prepare
from refinevad.errors import InputError
from study.config.study_file import StudyFile
from study.ledger.records import StudyMeta
from study.verification.check import Check, Difference


def check_data(meta: StudyMeta, file: StudyFile, stores: Path) -> tuple[Check, Store | None]:
    """Finds the store and reads all of it; the store is None where it is not the study's.

    Raises:
        InputError: There is no such store, and the data to pack it from are absent.
    """
    check = Check("data")
    # By its fingerprint: neither the features nor their old place are needed.
    problems: list[str] = []
    for path in _packed(stores, meta.fingerprint):
        try:
            store = open_store(path)
            store.verify()
        except InputError as error:
            problems.append(str(error))
        else:
            check.summary = f"{path}: every byte read, fingerprint {store.fingerprint[:12]}"
            return check, store
    if problems:
        check.summary = "no undamaged copy of the packed store"
        for problem in problems:
            check.differences.append(
                Difference("the data", "they are unchanged since packing", problem)
            )
        return check, None
    store = prepare(file.data, stores)
    check.summary = f"{store.path}: every byte read, fingerprint {store.fingerprint[:12]}"
    check.compare("fingerprint of the data", meta.fingerprint, store.fingerprint)
    try:
        store.verify()
    except InputError as error:
        check.differences.append(
            Difference("the data", "they are unchanged since packing", str(error))
        )
    return check, None if check.differences else store


def _packed(stores: Path, fingerprint: str) -> Iterator[Path]:
    for header in sorted(stores.glob("*/header.json")):
        try:
            found = json.loads(header.read_text(encoding="utf-8")).get("fingerprint")
        except (OSError, ValueError, AttributeError):
            continue  # not for us
        if found == fingerprint:
            yield header.parent
