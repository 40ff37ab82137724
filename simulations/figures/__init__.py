"""Figures of experiments, from stored results only; `simulations.figures.catalogue` lists them."""
