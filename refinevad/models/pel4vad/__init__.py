"""PEL4VAD, prompt-enhanced learning (Pu et al., TIP 2024)."""
