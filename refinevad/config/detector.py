"""The base of every detector's section of the study file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from refinevad.config.section import Section


class DetectorConfig(Section):
    """The knobs of one detector, its loss weights among them; every one can be fixed or searched.

    A subclass stands in ``models/<name>/config.py``, imports no torch, and says its name::

        name: Literal["deepmil"] = "deepmil"
    """

    name: str

    dependent: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of fields whose values must fit each other (heads that must divide a width)."""
    revision: ClassVar[int] = 1
    """Enters the hash of a study: raise it when the same knobs compute something else."""
    fitted: ClassVar[bool] = False
    """Fitted in one go, not trained in epochs: ``train`` has no meaning but ``seed``."""
    transferable: ClassVar[tuple[str, ...]] = ()
    """Parts that can be taken from a model of another data set and frozen."""

    def check_data(self, widths: Mapping[str, int]) -> None:
        """Checks the knobs against the features of a data set.

        Args:
            widths: Modality -> feature width.

        Raises:
            ValueError: They do not go together; the message says what to change.
        """

    def least_tensors(self) -> int:
        """Tensors that the weights of such a detector have at least.

        A checkpoint of fewer is damaged, whatever its header claims, and is not built.
        """
        return 0
