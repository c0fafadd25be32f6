"""The durable record of a study: written by one driver, read by everyone else.

What is handed on here imports neither Optuna nor pandas: workers need it.
"""

from __future__ import annotations

from study.ledger.records import StudyMeta, TrialRecord, TrialResult, best, digest

__all__ = ["StudyMeta", "TrialRecord", "TrialResult", "best", "digest"]
