"""UR-DMU, dual memory units with uncertainty (Zhou et al., AAAI 2023)."""
