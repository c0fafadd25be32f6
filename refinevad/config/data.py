"""Every knob of data, model and training: its default, its unit and its reason.

The sections are read from a study file (``data:``, ``model:``, ``train:``), where every field
of ``model`` and ``train`` may also be searched. Letters in brackets point to the rows of
``docs/paper.md``, which says what the paper leaves open and what we decided.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SNIPPET_FRAMES = 16
"""Frames per snippet: every published feature extraction of this field uses 16."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Width = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Section(BaseModel):
    """A part of a study file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FeatureSource(Section):
    """Where the features of one modality lie, and how they are laid out."""

    layout: Literal["csv", "vadclip", "i3d", "tevad-text", "clip-tsa"]
    """csv: a `path,label` list of files; vadclip: one file per crop, `__k.npy`; i3d: one file
    per crop or one array with a crop axis; tevad-text: `<video>_emb.npy`; clip-tsa: one crop."""
    root: Path
    """Folder of the features; relative paths of lists are looked up here too."""
    train_list: Path | None = None
    """List of training files. Not needed where another modality names the videos."""
    test_list: Path | None = None
    """List of test files."""


class DataConfig(Section):
    """Which videos, which features, which ground truth."""

    synthetic: Literal["ucf-like", "xd-like"] | None = None
    """Generate a seeded synthetic benchmark instead of reading files of one's own."""
    taxonomy: Literal["ucf", "xd", "msad", "auto"] | tuple[str, ...] = "auto"
    """Categories: a known data set, a list of names, or `auto` (the labels of the lists)."""
    visual: FeatureSource | None = None
    """Visual features."""
    text: FeatureSource | None = None
    """Caption features of the same videos."""
    annotations: Path | None = None
    """Temporal annotations of the test videos (UCF or XD text format): the ground truth."""
    segments: Annotated[int, Field(ge=2)] = 32
    """Segments per video in training and, by default, in testing (T)."""
    val_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.15
    """Share of the training videos held out, stratified by category, when split is `val`."""
    split_seed: Seed | None = None
    """Seed of the validation split. None: the study's seed."""
    test_length: Literal["segments", "full"] = "segments"
    """Score test videos on `segments` expanded back to snippets, or snippet by snippet."""

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        sources = [s for s in (self.visual, self.text) if s is not None]
        if self.synthetic is not None:
            if sources or self.annotations is not None:
                raise ValueError("give either `synthetic` or feature sources, not both")
        elif not sources:
            raise ValueError("no features: give `visual`, `text`, or `synthetic`")
        elif all(s.train_list is None or s.test_list is None for s in sources):
            raise ValueError("no list: one modality must have `train_list` and `test_list`")
        elif self.annotations is None:
            raise ValueError("no ground truth: give `annotations`, the temporal annotation file")
        return self


class ModelConfig(Section):
    """Fusion -> MoTAR -> CORE -> scores. Paper: arXiv 2511.13204."""

    fusion: Literal["concat", "visual", "text"] = "concat"
    """[a1] Modalities the model sees; `concat` is all the data set has, then Linear(d_in, D)."""
    d_model: Width = 768
    """[a2] Width D of everything after fusion (the paper: 768)."""

    temporal: Literal["motar", "mtn", "lgt", "none"] = "motar"
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
    label_prototype: bool = True
    """[d2] Add e_y, the mean prototype of the video's labels, in training on abnormal videos."""
    category_weights: Literal["soft", "hard"] = "soft"
    """[d5] How prototypes are mixed: eq. 6, or the one of the most probable category."""
    injection: Literal["cross_attention", "linear", "add_norm", "segment_query", "none"] = (
        "cross_attention"
    )
    """[d3] How the prototype reaches the segments: eq. 14; eq. 10; eq. 11-12; each segment asks;
    not at all."""
    injection_heads: Width = 4
    """[d3] Heads of the cross-attention; must divide d_proj."""

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


class TrainConfig(Section):
    """Batches, losses and optimiser of one run."""

    epochs: Annotated[int, Field(ge=1)] = 30
    """Passes; one pass is min(normal, abnormal videos) // (batch_size / 2) steps, at least one."""
    batch_size: Annotated[int, Field(ge=2, multiple_of=2)] = 64
    """[h] Videos a step: half normal, half abnormal."""
    lr: Positive = 3e-3
    """[h] Learning rate of AdamW. Searched."""
    weight_decay: NonNegative = 0.01
    """[g] AdamW's decoupled decay; not lambda_reg."""
    schedule: Literal["constant", "cosine"] = "constant"
    """[h] Learning rate over the run; `cosine` falls to zero at the last step."""
    warmup_epochs: NonNegative = 0.0
    """[h] Linear warm-up, in epochs."""
    clip_norm: NonNegative = 1.0
    """[h] Largest gradient norm; 0 switches clipping off."""

    lambda_cat: NonNegative = 0.5
    """Weight of the category loss L_cat. Searched."""
    lambda_gmm: NonNegative = 0.1
    """Weight of the Gaussian-mixture loss L_GMM. Searched."""
    lambda_reg: NonNegative = 8e-5
    """[g] Weight of smoothness + sparsity of abnormal videos' scores. Searched."""
    mil_top_k: Annotated[int, Field(ge=1)] | None = None
    """[e] Segments a video is judged by. None: T // 16 + 1."""
    mil_margin: Positive = 1.0
    """[e] Margin of the all-pairs hinge."""
    gmm: Literal["mixture", "moments"] = "mixture"
    """[f] Category mixture of Gaussians with learnt mu, sigma; or the moments of the scores."""
    gmm_beta: Positive = 0.7
    """[f] beta of the Gaussians (LEC-VAD, arXiv 2506.13095)."""
    class_weights: Literal["none", "balanced"] = "none"
    """[d4] Weight of a category in L_cat: 1, or negatives / positives of the training videos."""

    seed: Seed | None = None
    """Seed of weights, batches and dropout. None: the study gives each trial its own (a single
    run: 42). The paper: 42 for every trial."""


class ObjectiveConfig(Section):
    """What a run is judged by, and so which epoch is its *selected epoch*."""

    metric: Literal["ap", "auc", "ano_auc"] = "ap"
    """On `val`: of video labels against a video's mean top-k score; on `test`: of frames."""
    split: Literal["val", "test"] = "val"
    """`val`: held-out training videos. `test`: the peers' habit; results then carry the words
    "selected on test", and no video is held out of training."""
    mode: Literal["max"] = "max"
    """All metrics here are better when larger."""

    @model_validator(mode="after")
    def _frames_for_ano_auc(self) -> Self:
        if self.metric == "ano_auc" and self.split == "val":
            raise ValueError("ano_auc needs frame labels, which only split = test has")
        return self


class Runtime(Section):
    """How the arithmetic is done: with the seed, this decides the bits of a result."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU where there is one."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of one run; fixed, because their number changes float sums."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bfloat16 autocast where the device computes in it, else float32."""
    deterministic: bool = True
    """Deterministic algorithms on GPUs; false is faster and gives up the same-bits promise."""


class Config(Section):
    """One training run: what ``python -m refinevad.train`` reads of a study file."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
