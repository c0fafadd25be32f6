"""CLIP-TSA, temporal self-attention by a differentiable top-k (Joo et al., ICIP 2023)."""
