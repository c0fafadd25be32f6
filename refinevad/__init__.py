"""RefineVAD (arXiv 2511.13204): weakly-supervised video anomaly detection, as a library.

A module named by a verb is a command (``prepare``, ``train``, ``evaluate``, ``score``: ``python -m
refinevad.train``); a noun is the library behind it (``data``, ``trainer``, ``evaluation``,
``scoring``, …). What commands share is ``cli`` (exit codes, flags of the configuration) and
``command`` (flags of the arithmetic, tables).

Nothing here imports torch: the command lines answer ``--help`` and a mistake in a file at once.
"""

__version__ = "0.4.0"
"""The one place of the version."""
