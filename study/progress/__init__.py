"""The progress display of a running study."""

from __future__ import annotations

from study.progress.forecast import Forecast, Forecaster
from study.progress.live import open_screen
from study.progress.screen import Screen
from study.progress.tally import Tally

__all__ = ["Forecast", "Forecaster", "Screen", "Tally", "open_screen"]
