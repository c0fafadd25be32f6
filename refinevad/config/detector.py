"""The base of every detector's section of the study file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from refinevad.config.section import Fraction, Section


def _odd(value: int | str) -> int | str:
    if isinstance(value, int) and value % 2 == 0:
        raise ValueError(f"found {value}, expected an odd number, as many on both sides, or auto")
    return value


OddNumber = Annotated[int, Field(ge=1), AfterValidator(_odd)]
OddWidth = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], AfterValidator(_odd)]


class DetectorConfig(Section):
    """The knobs of one detector, its loss weights among them; every one can be fixed or searched.

    A subclass stands in ``models/<name>/config.py``, imports no torch, and says its name::

        name: Literal["deepmil"] = "deepmil"
    """

    name: str
    normalise: Literal["none", "l2", "standard"] = "none"
    """Features before they enter the detector: as they are; each segment divided by its Euclidean
    norm; or each feature standardised by its mean and deviation in the training videos."""
    smooth_segments: OddWidth = 1
    """Width of a centred moving average of the logits of the scores; 1: off. At full length it
    counts snippets. `auto`: 1, 3, 5, 9 or 15, whichever is best on the held-out videos by
    `objective.metric`, chosen after training."""
    video_share: Fraction | Literal["auto"] = 0.0
    """Weight of a video's mean logit in every score; 0: off. `auto`: 0, 0.25, 0.5 or 0.75, chosen
    like `smooth_segments`."""

    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Ranges of its own knobs that a search begins with, as `space` of a study file has them."""
    knows: ClassVar[str] = "video labels"
    """What it is told about the training videos, as tables group detectors."""
    dependent: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of fields whose values must fit each other (heads that must divide a width)."""
    revision: ClassVar[int] = 1
    """Enters the hash of a study: raise it when the same knobs compute something else."""
    fitted: ClassVar[bool] = False
    """Fitted in one go, not trained in epochs: ``train`` has no meaning but ``seed``."""
    transferable: ClassVar[tuple[str, ...]] = ()
    """Parts that can be taken from a model of another data set and frozen."""

    @property
    def needs_embeddings(self) -> bool:
        """Whether the data must have category embeddings."""
        return False

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


class TextConfig(DetectorConfig):
    """What detectors that align segments with category texts have in common."""

    texts: Literal["file", "learned"] = "file"
    """Texts of the categories: the rows of `data.category_embeddings`, or learned ones."""

    @property
    def needs_embeddings(self) -> bool:
        """True unless the texts are learned."""
        return self.texts == "file"


NO_TEXTS = (
    "this detector aligns segments with texts of the categories, and there are none: give "
    "data.category_embeddings (docs/data.md says how to make the file), or model.texts: learned"
)
"""The message where a detector needs category embeddings and the data have none."""
