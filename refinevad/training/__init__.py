"""One training run: epochs, optimiser, selected epoch, result."""
