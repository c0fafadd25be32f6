"""One session of a study: from the open ledger to the summary."""

from __future__ import annotations

from study.session.driver import Driver
from study.session.session import Outcome, SessionOptions, run_session

__all__ = ["Driver", "Outcome", "SessionOptions", "run_session"]
