"""The study file: its sections, how it is read and checked, and what decides a study's hash."""
