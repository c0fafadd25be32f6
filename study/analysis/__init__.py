"""What the trials say: importances, agreement of studies, differences of variants."""
