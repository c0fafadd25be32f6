"""The study file: its sections, how it is read and checked, and what decides a study's hash."""

from __future__ import annotations

from study.config.load import load_study, study_of
from study.config.study_file import StudyFile

__all__ = ["StudyFile", "load_study", "study_of"]
