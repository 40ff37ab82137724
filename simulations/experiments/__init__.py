"""Experiments: each a pure function of a frozen, validated config."""
