"""Backends that run trials: in this process, or on Ray Tune."""
