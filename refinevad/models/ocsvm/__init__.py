"""One-class SVM on segments of normal videos (Schölkopf et al., 2001)."""
