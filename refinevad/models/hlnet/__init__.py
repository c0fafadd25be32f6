"""HL-Net, holistic and localised graphs (Wu et al., ECCV 2020)."""
