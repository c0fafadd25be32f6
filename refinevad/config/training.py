"""Settings of training, objective and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from refinevad.config.costs import COSTS
from refinevad.config.section import KeyOf, NonNegative, Positive, Section, Seed


class TrainConfig(Section):
    """Batches and optimiser of one run."""

    former: ClassVar[Mapping[str, Any]] = {"schedule": "constant", "warmup_epochs": 0.0}

    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes; one pass is min(normal, abnormal videos) // (batch_size / 2) steps, at least one; of
    mixed batches, all videos // batch_size."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Length of a run in gradient steps, in place of `epochs`: as many epochs as it takes. Not
    searched."""
    batch_size: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    """[h] Videos a step: half normal, half abnormal."""
    batches: Literal["balanced", "mixed"] = "balanced"
    """`balanced`: half of a step's videos are normal, half abnormal. `mixed`: as they come; an
    epoch is every video once."""
    optimizer: Literal["adamw", "adam", "adagrad"] = "adamw"
    """`adam` has the weight decay in the gradient, as some originals do; `adagrad` likewise."""
    lr: Positive = 3e-3
    """[h] Learning rate. Searched."""
    weight_decay: NonNegative = 0.01
    """[g] Weight decay; AdamW's is decoupled."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """[h] Learning rate over the run; `cosine` falls to zero at the last step."""
    warmup_epochs: NonNegative = 2.0
    """[h] Linear warm-up, in epochs."""
    clip_norm: NonNegative = 1.0
    """[h] Largest gradient norm; 0 switches clipping off."""

    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay, per step, of an exponential moving average of the weights, which is then what is
    judged and kept; such as 0.99. It grows to this value from 0.1 over the first steps. 0: off."""

    seed: Seed | None = None
    """Seed of weights, batches and dropout. None: the study gives each trial its own (a single
    run: 42). The paper: 42 for every trial."""


class ObjectiveConfig(Section):
    """The objective of a run, which also selects its checkpoint (the *selected epoch*)."""

    former: ClassVar[Mapping[str, Any]] = {"top_k": "loss", "monitor": False}

    metric: Literal["ap", "auc", "ano_auc", "seg_auc", "brier"] = "ap"
    """On `val`: of video labels against a video's mean top-k score; on `test`: of frames. `val`
    alone has `seg_auc`, the AUC of the top k segments of abnormal videos against all segments of
    normal ones, and `brier`, one minus the Brier score of the video scores."""
    split: Literal["val", "test"] = "val"
    """`val`: held-out training videos. `test`: the peers' habit; results then carry the words
    "selected on test", and no video is held out of training."""
    mode: Literal["max"] = "max"
    """All metrics here are better when larger."""
    epoch: Literal["best", "last", "mean_second_half", "ema"] = "best"
    """What a run's epochs give as its objective. `best`: the largest value, which is also the
    luckiest; `last`: the last epoch's; `mean_second_half`: the mean over the second half of the
    epochs; `ema`: the largest of an exponential moving average. The checkpoint has the weights of
    the best epoch (of the average's, for `ema`), else those of the last one."""
    folds: Annotated[int, Field(ge=1)] = 1
    """Splits that a run trains and is judged on; its objective and metrics are means over them.
    Fold i trains with the run's seed + i; the checkpoint is of fold 0."""
    fold_kind: Literal["repeated", "k_fold"] = "repeated"
    """`repeated`: fold i is the random split of seed `split_seed` + i, with `data.val_fraction`.
    `k_fold`: every video (or group) is held out in one of the folds."""
    top_k: Annotated[int, Field(ge=1)] | Literal["loss"] | None = None
    """On `val` a video's score is the mean of its k largest segment scores. None: k = T // 16 + 1,
    for every detector and trial. `loss`: the k of the detector's own loss, as up to version 0.4;
    trials that search it are then judged by different objectives."""
    monitor: bool = True
    """Log with every epoch what the detector reports about itself on the videos that judge it:
    held-out losses beside those of training (`val/mil`), and RefineVAD's share of videos in which
    a category reaches the threshold (`core/s_abnormal`, `core/s_normal`)."""
    cost: Annotated[str, KeyOf(COSTS)] | None = None
    """What a search keeps low while it keeps `metric` high: `flops`, `parameters`, `latency` or
    `epoch_seconds`. `objective: [{metric: ap}, {cost: flops}]` says the same."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A mapping, or the list that :meth:`_one_metric_one_cost` reads."""
        mapping = handler(schema)
        cost = {
            "type": "object",
            "properties": {"cost": {"enum": [*COSTS]}},
            "required": ["cost"],
            "additionalProperties": False,
        }
        listed = {"type": "array", "prefixItems": [mapping, cost], "minItems": 2, "maxItems": 2}
        return {"anyOf": [mapping, listed]}

    @model_validator(mode="before")
    @classmethod
    def _one_metric_one_cost(cls, values: Any) -> Any:
        if not isinstance(values, list | tuple):
            return values
        if not all(isinstance(part, Mapping) for part in values):
            raise ValueError("a list of objectives has mappings: [{metric: ap}, {cost: flops}]")
        names = [name for part in values for name in part]
        if len(values) != 2 or "metric" not in values[0] or list(values[1]) != ["cost"]:
            raise ValueError(
                "a list of objectives is one metric, then one cost: [{metric: ap}, {cost: flops}]"
            )
        if len(names) != len(set(names)):
            raise ValueError("the list of objectives says cost twice")
        return {**values[0], **values[1]}

    @model_validator(mode="after")
    def _frames_for_ano_auc(self) -> Self:
        if self.metric == "ano_auc" and self.split == "val":
            raise ValueError("ano_auc needs frame labels, which only split = test has")
        if self.split == "test":
            if self.metric in ("seg_auc", "brier"):
                raise ValueError(f"{self.metric} is of held-out videos; give split = val")
            if self.folds > 1:
                raise ValueError("folds hold training videos out; with split = test give folds = 1")
        if self.fold_kind == "k_fold" and self.folds == 1:
            raise ValueError("k_fold needs folds of 2 or more")
        return self


class Runtime(Section):
    """The arithmetic of a run. Together with the seed it decides the bits of a result."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU where there is one."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one run; fixed, because their number changes float sums."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bfloat16 autocast where the device computes in it, else float32."""
    deterministic: bool = True
    """Deterministic algorithms on GPUs. False is faster; results are then not bit-reproducible."""
