"""Top-k logistic regression on single segments: the floor that every method must beat."""
