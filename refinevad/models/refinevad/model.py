"""The assembled model: fuse -> MoTAR -> rough scores -> CORE -> final scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from refinevad.config.detector import DetectorConfig
from refinevad.errors import InputError
from refinevad.layers.mil import top_k_mean
from refinevad.models.base import Batch, Detector, Prediction, Split, Task
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.refinevad.core import CORE
from refinevad.models.refinevad.losses import balanced_class_weights, training_loss, video_loss
from refinevad.models.refinevad.output import Output
from refinevad.models.refinevad.scorer import SnippetScorer
from refinevad.models.refinevad.temporal import along_time, temporal_module

_SHARED = ("d_model", "d_proj", "d_emb")
"""Settings that decide the shapes of the category head and the prototypes."""


class RefineVAD(Detector):
    """RefineVAD of arXiv 2511.13204 with the decisions of ``docs/paper.md``.

    Args:
        config: every knob.
        task: feature widths and categories of the data set.

    Raises:
        InputError: ``config.fusion`` names a modality that the data set does not have.
    """

    Config = RefineVADConfig
    loss_names: ClassVar[tuple[str, ...]] = ("loss", "mil", "cat", "gmm", "reg")
    config: RefineVADConfig

    def __init__(self, config: RefineVADConfig, task: Task) -> None:
        super().__init__(config, task)
        self.channels = _channels(config.fusion, task.widths)
        self.fuse = nn.Linear(len(range(task.width)[self.channels]), config.d_model)
        self.motar = temporal_module(config)  # whatever it is: the name is that of the weights
        self.scorer = SnippetScorer(config)
        self.core = CORE(config, len(task.categories))
        self._class_weights: Tensor | None = None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Prediction:
        """Scores, category probabilities, and how far the shift goes in each video."""
        found = self.outputs(x, mask)
        shift = found.shift.float()
        reached = (found.category_probs >= self.config.threshold).any(dim=1)
        return Prediction(
            found.scores,
            found.category_probs,
            by_kind={"core/s": reached.float()},
            diagnostics={
                "shift/s_mean": shift.mean(1),
                "shift/s_span": shift.amax(1) - shift.amin(1),
            },
        )

    def outputs(
        self, x: Tensor, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> Output:
        """Everything that a pass computes.

        Args:
            x: features ``(B, T, sum of widths)``, float.
            mask: ``(B, T)`` bool, True where valid; at least one a video. None: everywhere.
            labels: ``(B, C)`` bool, the categories of each video, none for a normal one. Used in
                training mode only, for e_y.

        Raises:
            InputError: the features have another width than the model was built for.
        """
        self.require_width(x)
        x_tc, shift = along_time(self.motar, self.fuse(x[..., self.channels]), mask)
        rough_logits = self.scorer(x_tc, "rough", mask)
        refined = self.core(x_tc, rough_logits, mask, labels)
        logits = self.scorer(refined.x_ca, "final", mask)
        scores = logits.sigmoid()
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        else:
            scores = scores.masked_fill(~mask, 0.0)
            shift = shift.masked_fill(~mask, 0)
        return Output(
            logits=logits,
            scores=scores,
            rough_logits=rough_logits,
            x_tc=x_tc,
            shift=shift,
            mask=mask,
            **refined._asdict(),
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The four losses; with frozen categories labels have no index, and L_cat is left out."""
        config, labels = self.config, batch.labels
        if self.core.frozen:
            config = config.model_copy(update={"lambda_cat": 0.0})
        outputs = self.outputs(batch.x, labels=None if self.core.frozen else labels)
        found = training_loss(outputs, labels, config, self._class_weights)
        return {
            "loss": found.total,
            "mil": found.mil,
            "cat": found.cat,
            "gmm": found.gmm,
            "reg": found.reg,
        }

    def prepare(self, split: Split) -> None:
        """Counts the categories, where ``class_weights`` asks for it."""
        if self.config.class_weights != "none" and not self.core.frozen:
            self._class_weights = balanced_class_weights(split.labels, self.config.class_weights)

    @classmethod
    def video_scores(cls, scores: Tensor, config: DetectorConfig) -> Tensor:
        """The mean of the ``mil_top_k`` largest scores, as L_MIL has it."""
        assert isinstance(config, RefineVADConfig)
        mask = torch.ones_like(scores, dtype=torch.bool)
        return top_k_mean(scores, mask, config.mil_top_k)

    @classmethod
    def held_out_losses(
        cls, scores: Tensor, labels: Tensor, config: DetectorConfig
    ) -> dict[str, Tensor]:
        """L_MIL over all videos."""
        assert isinstance(config, RefineVADConfig)
        video = cls.video_scores(scores, config)
        return {"mil": video_loss(video, labels.any(dim=1), config)}

    def effects(self, x: Tensor, labels: Tensor) -> dict[str, float]:
        """``core/prototypes``: how far a swap of the prototypes moves the scores.

        Every category takes the prototype of the one before it. The mean absolute change of the
        final logits of abnormal videos, as a share of the standard deviation of all logits. It is
        0 where S of eq. 6 is empty in every video: then all prototypes weigh the same.
        """
        found = self.outputs(x)
        mixed = found.category_weights @ self.core.prototypes.vectors.roll(1, 0)
        injected = self.core.injection(found.x_tc, mixed, None)
        swapped = self.scorer(injected, "final", None)
        moved = (swapped - found.logits).abs()[labels.any(dim=1)].mean()
        return {"core/prototypes": float(moved / found.logits.std().clamp(min=1e-12))}

    def take_frozen(self, source: Detector) -> None:
        """Takes category head and prototypes of another RefineVAD (the paper's Table 4)."""
        if not isinstance(source, RefineVAD):
            raise InputError(
                f"the checkpoint whose categories are taken is of {source.config.name}; "
                "give one of refinevad"
            )
        for name in _SHARED:
            ours, theirs = getattr(self.config, name), getattr(source.config, name)
            if ours != theirs:
                raise InputError(
                    f"the checkpoint whose categories are taken has {name} = {theirs}, this model "
                    f"{ours}; give both the same"
                )
        self.core.classifier.load_state_dict(source.core.classifier.state_dict())
        self.core.prototypes.load_state_dict(source.core.prototypes.state_dict())
        self.core.freeze_categories()


def _channels(fusion: str, widths: Mapping[str, int]) -> slice:
    """Input channels of the modalities that the model uses. [a1]"""
    if fusion == "concat":
        return slice(0, sum(widths.values()))
    if fusion not in widths:
        raise InputError(
            f"model.fusion is '{fusion}', but the data set only has {', '.join(widths)}: "
            "choose another fusion or add that modality under data"
        )
    before = 0
    for name, width in widths.items():
        if name == fusion:
            break
        before += width
    return slice(before, before + widths[fusion])
