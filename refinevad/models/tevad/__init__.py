"""TEVAD, captions beside visual features (Chen et al., CVPR workshops 2023)."""
