"""Searches: they propose trials 0, 1, 2, … in order."""
