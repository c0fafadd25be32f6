"""MGFN, magnitude-contrastive glance-and-focus network (Chen et al., AAAI 2023)."""
