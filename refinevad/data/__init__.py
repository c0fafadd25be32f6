"""Feature files to packed store to batches; annotations to frame truth; a synthetic benchmark.

``prepare`` is the way in: a data section becomes a :class:`Store`, whose arrays everything else
reads.
"""

from refinevad.config.datasets import DATASETS, MSAD, UCF, XD, Dataset, Taxonomy
from refinevad.data.annotations import read_annotations, truth
from refinevad.data.batches import BalancedBatches, validation_split
from refinevad.data.build import prepare
from refinevad.data.segments import expand, pool
from refinevad.data.store import Header, Split, Store, TestSplit, open_store
from refinevad.data.synthetic import generate

__all__ = [
    "DATASETS",
    "MSAD",
    "UCF",
    "XD",
    "BalancedBatches",
    "Dataset",
    "Header",
    "Split",
    "Store",
    "Taxonomy",
    "TestSplit",
    "expand",
    "generate",
    "open_store",
    "pool",
    "prepare",
    "read_annotations",
    "truth",
    "validation_split",
]
