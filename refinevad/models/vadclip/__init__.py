"""VadCLIP, vision-language alignment for video anomaly detection (Wu et al., AAAI 2024)."""
