"""The knobs of RefineVAD: model and losses.

Letters in brackets point to the rows of ``docs/paper.md``, which says what the paper leaves open
and what we decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Dropout, Fraction, NonNegative, Positive, Width

Temporal = Literal["motar", "mtn", "lgt", "none"]


LOSS_FIELDS = (
    "lambda_cat",
    "lambda_gmm",
    "lambda_reg",
    "mil_top_k",
    "mil_margin",
    "gmm",
    "gmm_beta",
    "class_weights",
)
"""Fields that stood in the section ``train`` up to version 0.3; they are hashed as if there."""


class RefineVADConfig(DetectorConfig):
    """Fusion -> MoTAR -> CORE -> scores. Paper: arXiv 2511.13204."""

    name: Literal["refinevad"] = "refinevad"
    """Which detector this section describes."""
    knows: ClassVar[str] = "categories"
    space: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "d_proj": {"choice": [64, 128, 256]},
        "d_emb": {"choice": [32, 64, 128, 256]},
        "lambda_cat": {"log_uniform": [0.05, 2.0]},
        "lambda_gmm": {"log_uniform": [0.01, 1.0]},
        "lambda_reg": {"log_uniform": [1e-4, 3e-2]},
    }

    dependent: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("d_model", "encoder_heads", "shift_groups", "temporal"),
        ("d_proj", "injection_heads", "injection"),
    )
    transferable: ClassVar[tuple[str, ...]] = ("core",)
    former: ClassVar[Mapping[str, Any]] = {
        "label_prototype": True,
        "lambda_cat": 0.5,
        "class_weights": "none",
        "category_outputs": "mean",
    }

    fusion: Literal["concat", "visual", "text"] = "concat"
    """[a1] Modalities the model sees; `concat` is all the data set has, then Linear(d_in, D)."""
    d_model: Width = 768
    """[a2] Width D of everything after fusion (the paper: 768)."""

    temporal: Temporal = "motar"
    """[a6] What looks along time: the paper's MoTAR; MTN of RTFM; the LGT-Adapter of VadCLIP; or
    nothing. The fields up to `encoder_dropout` are MoTAR's."""

    # MoTAR: motion-aware adaptive channel shift, then a temporal transformer.
    motion: Literal["per_channel", "scalar", "per_video"] = "per_channel"
    """[a3, a4] v_t, what the shift MLP sees: squared deviation per channel (D values a segment),
    variance over channels (one value; the MLP is then 1 -> 32 -> 16 -> 1), or variance over time
    (D values a video). Always LayerNorm-ed or standardised: otherwise r_t stays at 0.5."""
    shift: Literal["ste", "hard", "constant", "off"] = "ste"
    """[b1] Gradient of floor in eq. 2: straight-through on the selection masks, none, a constant
    r_t = shift_constant, or no shift at all."""
    shift_constant: Fraction = 0.5
    """[b1] r_t when shift is `constant`."""
    shift_edges: Literal["keep", "zero"] = "keep"
    """[b2] Where there is no neighbour (t = 1, t = T): own channels, or zeros as in TSM."""
    shift_groups: Annotated[int, Field(ge=2)] = 8
    """[b3] K of eq. 2: at most D/K channels come from each neighbour."""
    shift_temperature: Positive = 1.0
    """[b1] tau_s, in channels: width of the soft masks that carry the gradient."""
    encoder_layers: Annotated[int, Field(ge=1)] = 2
    """[a5] Post-norm torch encoder layers. No positional table."""
    encoder_heads: Width = 4
    """[a5] Attention heads; must divide d_model."""
    encoder_feedforward: Width = 2048
    """[a5] Width of the feed-forward part."""
    encoder_dropout: Dropout = 0.1
    """[a5]"""

    # The snippet scorer, used twice: rough (on MoTAR's output) and final (on CORE's).
    scorer_norm: Literal["batch", "layer"] = "batch"
    """[c1] BatchNorm keeps one set of statistics per pass; the weights are shared."""
    scorer_dropout: Dropout = 0.6
    """[c1]"""
    pooling: Literal["softmax", "sigmoid"] = "softmax"
    """[c2] Weights over time of the category classifier's pooling: softmax of the rough logits,
    or their L1-normalised sigmoid."""

    # CORE: soft categories, prototypes, injection.
    d_proj: Width = 256
    """Hidden width of the category head and width of the cross-attention. Searched (Table 7)."""
    d_emb: Width = 256
    """Width of a category prototype. Searched (Table 7)."""
    category_dropout: Dropout = 0.1
    """Dropout of the category head."""
    threshold: Fraction = 0.5
    """[d1] tau of eq. 6: if no category reaches it, all weigh 1/C."""
    label_prototype: bool | Literal["paired"] = "paired"
    """[d2] Add e_y, the mean prototype of the video's labels, in training. `true`: on abnormal
    videos, as the paper has it; where the injection is a direct path, the scorer can then read the
    label from it. `paired`: on abnormal videos, and each normal video takes the e_y of an abnormal
    one of its batch, so that e_y tells nothing about normal or abnormal. `false`: never."""
    category_weights: Literal["soft", "hard"] = "soft"
    """[d5] How prototypes are mixed: eq. 6, or the one of the most probable category."""
    injection: Literal["cross_attention", "linear", "add_norm", "segment_query", "none"] = (
        "cross_attention"
    )
    """[d3] How the prototype reaches the segments: eq. 14; eq. 10; eq. 11-12; each segment asks;
    not at all."""
    injection_heads: Width = 4
    """[d3] Heads of the cross-attention; must divide d_proj."""

    # Losses: L_MIL + lambda_cat L_cat + lambda_gmm L_GMM + lambda_reg L_reg.
    lambda_cat: NonNegative = 0.2
    """Weight of the category loss L_cat (the paper's lambda_2). Searched."""
    lambda_gmm: NonNegative = 0.1
    """Weight of the Gaussian-mixture loss L_GMM (the paper's lambda_1). Searched."""
    lambda_reg: NonNegative = 8e-5
    """[g] Weight of smoothness + sparsity of abnormal videos' scores. Searched."""
    mil_top_k: Annotated[int, Field(ge=1)] | None = None
    """[e] Segments a video is judged by. None: T // 16 + 1."""
    mil_loss: Literal["hinge", "bce"] = "hinge"
    """[e] Loss of the videos' scores: the all-pairs hinge, or binary cross-entropy."""
    label_smoothing: Fraction = 0.0
    """[e] With `bce`: targets are this much closer to one half (e / 2 and 1 - e / 2)."""
    mil_margin: Positive = 1.0
    """[e] Margin of the all-pairs hinge."""
    gmm: Literal["mixture", "moments"] = "mixture"
    """[f] Category mixture of Gaussians with learnt mu, sigma; or the moments of the scores."""
    gmm_beta: Positive = 0.7
    """[f] beta of the Gaussians (LEC-VAD, arXiv 2506.13095)."""
    class_weights: Literal["none", "balanced", "sqrt_balanced"] = "sqrt_balanced"
    """[d4] Weight of a category's own videos in L_cat: 1; negatives / positives of the training
    videos; or the square root of that."""
    category_outputs: Literal["sum", "mean"] = "sum"
    """[d4] The two cross-entropies of a category, of its normal and its abnormal output, are added,
    as in the paper's L_cat, or averaged, as up to version 0.4."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.d_model % self.encoder_heads:
            raise ValueError(
                f"d_model = {self.d_model} is not divisible by encoder_heads = {self.encoder_heads}"
            )
        attends = self.injection in ("cross_attention", "segment_query", "add_norm")
        if attends and self.d_proj % self.injection_heads:
            raise ValueError(
                f"d_proj = {self.d_proj} is not divisible by "
                f"injection_heads = {self.injection_heads}"
            )
        if self.temporal in ("mtn", "lgt") and self.d_model % 8:
            raise ValueError(f"d_model = {self.d_model} is not divisible by 8 (temporal)")
        if self.shift_groups > self.d_model:
            raise ValueError(
                f"shift_groups = {self.shift_groups} is more than d_model = {self.d_model}"
            )
        return self

    def check_data(self, widths: Mapping[str, int]) -> None:
        if self.fusion != "concat" and self.fusion not in widths:
            raise ValueError(
                f"fusion = {self.fusion}, but the data have only {' and '.join(widths)} features; "
                "use concat"
            )

    def least_tensors(self) -> int:
        return self.encoder_layers
