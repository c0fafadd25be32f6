"""Blocks and losses that several detectors use."""
