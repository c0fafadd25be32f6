"""Scores of whole data sets, and what they are worth."""
