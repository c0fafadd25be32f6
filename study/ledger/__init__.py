"""The durable record of a study: written by one driver, read by everyone else."""
