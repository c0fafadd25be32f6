"""Checkpoints: one safetensors file with the weights and, in its header, their metadata.

Nothing is ever unpickled, so a checkpoint from a stranger can be opened. The same weights and
metadata give the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter
from pydantic_core import from_json
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from refinevad.config.detector import DetectorConfig
from refinevad.config.section import Width
from refinevad.errors import InputError
from refinevad.models.base import Detector, Task
from refinevad.models.registry import CONFIGS, DEFAULT, AnyDetectorConfig, detector_class

FORMAT_VERSION = 2
DEFAULT_SEGMENTS = 32
"""Segments of a checkpoint that does not say how many it was trained with."""
MOST_SEGMENTS = 4096
"""Largest number of segments that a checkpoint may require: memory grows with their square."""
TEXTS = "texts"
"""Name of the buffer in which a detector keeps the text embeddings of its categories."""
_KEY = "refinevad"  # one key: the order of several in the header would not be fixed


@dataclass(frozen=True)
class Meta:
    """Metadata of a checkpoint: detector, categories, features."""

    model: AnyDetectorConfig
    categories: tuple[Annotated[str, Field(pattern=r"^\P{C}*$")], ...]
    """Categories in the order of the category head."""
    widths: dict[str, Width]
    """Modality -> feature width, in the order in which the input is concatenated."""
    extra: dict[str, Any]
    """Further metadata of the writer: seed, data fingerprint, metrics."""


def dumps(
    model_state: Mapping[str, Tensor],
    *,
    model: DetectorConfig,
    categories: tuple[str, ...],
    widths: Mapping[str, int],
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """A checkpoint as bytes. ``extra`` must be JSON-able."""
    header = {
        "version": FORMAT_VERSION,
        "detector": model.name,
        "model": model.model_dump(mode="json"),
        "categories": list(categories),
        "widths": dict(widths),  # a JSON object keeps its order
        "extra": dict(extra or {}),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model_state.items()}
    return save_tensors(tensors, metadata={_KEY: json.dumps(header)})


def save(
    path: Path,
    model_state: Mapping[str, Tensor],
    *,
    model: DetectorConfig,
    categories: tuple[str, ...],
    widths: Mapping[str, int],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes a checkpoint atomically: a crash leaves the old file or the new one."""
    data = dumps(model_state, model=model, categories=categories, widths=widths, extra=extra)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # the mode of any other file: mkstemp's 0600 would hide the weights from the user's group
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: Path) -> tuple[Detector, Meta]:
    """The model, on the CPU and in eval mode, and its metadata.

    Raises:
        InputError: No such file, not a checkpoint of ours, or weights that do not fit.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return loads(data, source=str(path))


def loads(data: bytes, *, source: str = "checkpoint") -> tuple[Detector, Meta]:
    """``load`` from bytes; ``source`` names them in errors."""
    try:
        tensors = load_tensors(data)
        header = _header(data)
    except (SafetensorError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not a readable safetensors file ({error})") from None
    if _KEY not in header:
        raise InputError(f"{source}: a safetensors file, but not one that refinevad wrote")
    try:
        content = from_json(header[_KEY])
        if content["version"] not in range(1, FORMAT_VERSION + 1):
            raise InputError(
                f"{source}: checkpoint format {content['version']}, this refinevad reads"
                f" formats up to {FORMAT_VERSION}; use the version of refinevad that wrote it"
            )
        name = content.get("detector", DEFAULT)
        if name not in CONFIGS:
            raise InputError(
                f"{source}: a checkpoint of the detector {name!r:.60}, which is not known here; "
                f"known: {', '.join(CONFIGS)} (one of another package is registered first)"
            )
        # Fields that an earlier version did not have keep what they stood for.
        content["model"] = {**CONFIGS[name].former, **content["model"], "name": name}
        meta = TypeAdapter(Meta).validate_python(content)
    except (ValueError, LookupError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{source}: metadata in its header is damaged ({reason})") from None
    return _build(meta, tensors, source), meta


def trained_segments(meta: Meta, source: object) -> int:
    """Number of segments in training.

    Raises:
        InputError: The header of ``source`` says no usable number.
    """
    segments = meta.extra.get("segments", DEFAULT_SEGMENTS)
    if type(segments) is not int or not 0 < segments <= MOST_SEGMENTS:
        raise InputError(
            f"{source}: its header says segments = {segments!r:.40}, not a number from 1 to "
            f"{MOST_SEGMENTS}; python -m refinevad.score takes --segments instead"
        )
    return segments


def scored_in_full(meta: Meta) -> bool:
    """Whether the writer's test set was scored snippet by snippet."""
    return bool(meta.extra.get("test_length") == "full")


def require_widths(meta: Meta, widths: Mapping[str, int]) -> None:
    """Raises InputError where a checkpoint reads other features than the data set has."""
    if list(meta.widths.items()) != list(widths.items()):
        raise InputError(
            f"the checkpoint reads {describe_widths(meta.widths)}, the data has"
            f" {describe_widths(widths)}; use features of the same extraction"
        )


def describe_widths(widths: Mapping[str, int]) -> str:
    """``visual 512 + text 768``."""
    return " + ".join(f"{name} {width}" for name, width in widths.items())


def _header(data: bytes) -> dict[str, str]:
    """The ``__metadata__`` of a safetensors file: 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _build(meta: Meta, tensors: dict[str, Tensor], source: str) -> Detector:
    detector = detector_class(meta.model.name)
    task = Task(meta.widths, meta.categories, tensors.get(TEXTS))
    try:
        if meta.model.least_tensors() > len(tensors):
            raise RuntimeError(f"{len(tensors)} tensors")
        with torch.device("meta"):  # takes no memory: a header may claim any width
            sketch = detector(meta.model, task)
            sketch.resize_for(tensors)
        sketch.load_state_dict(tensors, assign=True)
    except (RuntimeError, TypeError, OverflowError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(
            f"{source}: weights do not fit the model its header describes ({reason})"
        ) from None
    with torch.random.fork_rng(devices=[]):  # initial weights are thrown away: leave the RNG alone
        model = detector(meta.model, task)
    model.resize_for(tensors)
    model.load_state_dict(tensors)
    return model.eval()
