"""RefineVAD (arXiv 2511.13204): weakly-supervised video anomaly detection, as a library.

Nothing here imports torch: the command lines answer ``--help`` and a mistake in a file at once.
"""

__version__ = "0.1.0"
