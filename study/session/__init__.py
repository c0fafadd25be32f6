"""One session of a study: from the open ledger to the summary."""
