"""Figures of experiments, from stored results only."""
