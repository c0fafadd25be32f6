"""Study files with options of the search, and what they are refused for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from refinevad.errors import InputError
from study.config.load import study_of
from study.config.study_file import StudyFile
from tests.support.workspace import SMALL_STUDY


def document(**changes: Any) -> Any:
    from refinevad.config.document import Document

    data = yaml.safe_load(SMALL_STUDY)
    for key, value in changes.items():
        whole = key in ("space", "constraints") or value is None
        data[key] = value if whole else data.get(key, {}) | value
    return Document("s.yaml", data)


def study(**changes: Any) -> StudyFile:
    return study_of(document(**changes))


def refused(words: str, **changes: Any) -> None:
    with pytest.raises(InputError) as error:
        study(**changes)
    assert words in str(error.value)


SPACE: dict[str, Any] = {
    "d_proj": {"int": [4, 16, 4]},
    "d_emb": {"int": [4, 64, 4]},
    "injection": {"choice": ["cross_attention", "none"]},
    "threshold": {"uniform": [0.3, 0.7, 0.1], "when": {"injection": "cross_attention"}},
    "lr": {"log_uniform": [1e-5, 1e-1]},
}
