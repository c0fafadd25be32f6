"""A checkpoint as MLflow loads and serves it: the features of one video in, its scores out.

MLflow imports this module by name and calls :func:`_load_pyfunc` with the checkpoint's path; there
is no pickle in the model's folder, and nothing of MLflow is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from refinevad.api import score_video
from refinevad.models import checkpoint


class ServedDetector:
    """A detector as a `mlflow.pyfunc` model.

    Args:
        path: A checkpoint.

    Raises:
        InputError: It is none, or its header is not usable.
    """

    def __init__(self, path: Path) -> None:
        self._detector, meta = checkpoint.load(path)
        self.segments = checkpoint.trained_segments(meta, path)
        self._length: Literal["segments", "full"] = (
            "full" if checkpoint.scored_in_full(meta) else "segments"
        )

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Scores one video.

        Args:
            model_input: (n, D) features, a row per snippet, as an array, a table or nested lists;
                modalities concatenated as in training.
            params: Not used.

        Returns:
            n rows: ``score``, in [0, 1]; where the detector knows categories, ``category``, the
            video's most likely one, and its ``probability``, the same in every row.

        Raises:
            InputError: The features have another width or shape.
        """
        features = np.asarray(model_input, dtype=np.float32)
        found = score_video(self._detector, features, segments=self.segments, length=self._length)
        table = pd.DataFrame({"score": found.scores})
        if found.categories:
            name, probability = max(found.categories.items(), key=lambda item: item[1])
            table["category"], table["probability"] = name, probability
        return table


def _load_pyfunc(path: str) -> ServedDetector:
    return ServedDetector(Path(path))
