"""An autoencoder of normal segments (after Hasan et al., CVPR 2016)."""
