"""RefineVAD (arXiv 2511.13204): weakly-supervised video anomaly detection, as a library.

A module named by a verb is a command (``prepare``, ``train``, ``evaluate``, ``score``: ``python -m
refinevad.train``); a noun is the library behind it (``config``, ``data``, ``models``,
``evaluation``, ``training``, …). What commands share is ``cli``: exit codes, flags, tables.

Nothing here imports torch: the command lines answer ``--help`` and a mistake in a file at once.
"""

__version__ = "0.3.0"
