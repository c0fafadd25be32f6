"""Searches: they propose trials 0, 1, 2, … in order."""

from __future__ import annotations

from study.search.base import Search
from study.search.proposal import Proposal, first_proposals, ordered_search, propose, pruning_of

__all__ = ["Proposal", "Search", "first_proposals", "ordered_search", "propose", "pruning_of"]
