"""The search space: dimensions, quantiles, their encoding, seeds."""
