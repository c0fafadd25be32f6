"""The knobs of a run: sections of the study file, checked; and the YAML document they come from."""
