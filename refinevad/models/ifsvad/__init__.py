"""IFS-VAD, inter-segment feature similarity (TCSVT 2025)."""
