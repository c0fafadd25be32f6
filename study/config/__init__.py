"""The study file: its sections, reading and checks, and the hash of a study."""

from __future__ import annotations

from study.config.load import load_study, study_of
from study.config.study_file import StudyFile

__all__ = ["StudyFile", "load_study", "study_of"]
