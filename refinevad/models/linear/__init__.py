"""Top-k logistic regression on single segments: the baseline that every method must beat."""
