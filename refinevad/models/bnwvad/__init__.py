"""BN-WVAD, batch normalisation as a measure of normality (Zhou et al., TCSVT 2024)."""
