"""The registry of detectors, one line each. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from refinevad.config.detector import DetectorConfig
from refinevad.models.ae.config import AutoencoderConfig
from refinevad.models.bnwvad.config import BNWVADConfig
from refinevad.models.cliptsa.config import CLIPTSAConfig
from refinevad.models.deepmil.config import DeepMILConfig
from refinevad.models.hlnet.config import HLNetConfig
from refinevad.models.ifsvad.config import IFSVADConfig
from refinevad.models.linear.config import LinearConfig
from refinevad.models.mgfn.config import MGFNConfig
from refinevad.models.ocsvm.config import OneClassSVMConfig
from refinevad.models.pel4vad.config import PEL4VADConfig
from refinevad.models.refinevad.config import RefineVADConfig
from refinevad.models.rtfm.config import RTFMConfig
from refinevad.models.svm.config import LinearSVMConfig
from refinevad.models.tevad.config import TEVADConfig
from refinevad.models.urdmu.config import URDMUConfig
from refinevad.models.vadclip.config import VadCLIPConfig

if TYPE_CHECKING:
    from refinevad.models.base import Detector

DEFAULT = "refinevad"
"""The detector of a study file that names none."""

CONFIGS: dict[str, type[DetectorConfig]] = {
    config.model_fields["name"].default: config
    for config in (
        RefineVADConfig,
        LinearConfig,
        DeepMILConfig,
        OneClassSVMConfig,
        RTFMConfig,
        URDMUConfig,
        CLIPTSAConfig,
        HLNetConfig,
        BNWVADConfig,
        TEVADConfig,
        IFSVADConfig,
        VadCLIPConfig,
        PEL4VADConfig,
        MGFNConfig,
        AutoencoderConfig,
        LinearSVMConfig,
    )
}
"""``model.name`` -> the detector's section."""


_REGISTERED: dict[str, type[Detector]] = {}
"""Detectors of this process alone."""


def register(detector: type[Detector]) -> type[Detector]:
    """Makes a detector of another package known in this process; usable as a decorator.

    Ray's workers are other processes: run its studies with the serial backend, or give it a line
    in ``CONFIGS``.

    Raises:
        ValueError: There is another detector of that name.
    """
    name = detector.Config.model_fields["name"].default
    earlier = _REGISTERED.get(name)
    again = earlier is not None and (
        (earlier.__module__, earlier.__qualname__) == (detector.__module__, detector.__qualname__)
    )  # the cell of a notebook, run a second time
    if name in CONFIGS and not again:
        raise ValueError(f"there is a detector {name!r} already; give yours another name")
    CONFIGS[name] = detector.Config
    _REGISTERED[name] = detector
    return detector


def detector_class(name: str) -> type[Detector]:
    """The class of a detector, from ``refinevad.models.<name>.model``; imports torch.

    Raises:
        KeyError: There is no such detector.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    config = CONFIGS[name]
    module = import_module(f"refinevad.models.{name}.model")
    for found in vars(module).values():
        if isinstance(found, type) and getattr(found, "Config", None) is config:
            detector: type[Detector] = found
            return detector
    raise KeyError(f"refinevad.models.{name}.model defines no detector of {config.__name__}")


def config_class(model: object) -> type[DetectorConfig]:
    """The section class that the ``model`` section of a study file asks for by its ``name``.

    Raises:
        ValueError: There is no detector of that name.
    """
    name = model.get("name", DEFAULT) if isinstance(model, Mapping) else DEFAULT
    if not isinstance(name, str) or name not in CONFIGS:
        raise ValueError(f"there is no detector {name!r}; known: {', '.join(CONFIGS)}")
    return CONFIGS[name]


def _by_name(value: Any) -> Any:
    """A mapping as the section of the detector that it names."""
    return config_class(value).model_validate(value) if isinstance(value, Mapping) else value


AnyDetectorConfig = Annotated[SerializeAsAny[DetectorConfig], BeforeValidator(_by_name)]
"""The ``model`` section: of the detector that its ``name`` names, by default RefineVAD."""
