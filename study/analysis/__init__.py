"""Analyses of trials: importances, agreement of studies, differences of variants."""
