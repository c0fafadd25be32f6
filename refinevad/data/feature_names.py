"""Files of features by their ending: what is read, and how another format becomes it."""

from __future__ import annotations

import re

from refinevad.config.layouts import without_ending
from refinevad.errors import InputError

FEATURE_ENDING = ".npy"

CONVERTERS = {
    ".npz": "f = np.load({path!r}); np.save({new!r}, f[f.files[0]])",
    ".h5": "import h5py; f = h5py.File({path!r}); np.save({new!r}, f[list(f)[0]][()])",
    ".hdf5": "import h5py; f = h5py.File({path!r}); np.save({new!r}, f[list(f)[0]][()])",
    ".pt": "import torch; np.save({new!r}, torch.load({path!r}, weights_only=True).numpy())",
    ".pth": "import torch; np.save({new!r}, torch.load({path!r}, weights_only=True).numpy())",
    ".safetensors": "from safetensors.numpy import load_file; "
    "np.save({new!r}, next(iter(load_file({path!r}).values())))",
    ".mat": "from scipy.io import loadmat; "
    "np.save({new!r}, max(loadmat({path!r}).values(), key=np.size))",
    ".txt": "np.save({new!r}, np.loadtxt({path!r}, ndmin=2))",
    ".csv": "np.save({new!r}, np.loadtxt({path!r}, delimiter=',', ndmin=2))",
}
"""Ending of another format of features -> a line of Python that writes the array as .npy."""
_PLAIN = re.compile(r"[\w./ -]+")
PICKLES = (".pkl", ".pickle", ".joblib")


def feature_path(entry: str) -> str:
    """The feature file that a line of a list names: a video's name stands for its features.

    Raises:
        InputError: The line names a file of another format; the line of Python that converts it
            is named.
    """
    lower = entry.lower()
    if lower.endswith(FEATURE_ENDING):
        return entry
    for ending, code in CONVERTERS.items():
        if lower.endswith(ending):
            shown = entry if _PLAIN.fullmatch(entry) else f"FILE{ending}"  # it goes into a shell
            new = shown[: -len(ending)] + FEATURE_ENDING
            raise InputError(
                f"{entry!r} is no .npy file; convert it, and name the new file: "
                f'python -c "import numpy as np; {code.format(path=shown, new=new)}"'
            )
    if lower.endswith(PICKLES):
        raise InputError(
            f"{entry!r} is a pickle, which is not read, because it can run code; "
            "save the array with np.save"
        )
    return without_ending(entry) + FEATURE_ENDING
