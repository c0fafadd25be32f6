"""The checks of `study.verify`, one module each."""
