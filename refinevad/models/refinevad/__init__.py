"""RefineVAD (arXiv 2511.13204): MoTAR, CORE, and the four losses."""
