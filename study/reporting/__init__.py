"""The report of a study: a page of cards."""
