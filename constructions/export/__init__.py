"""Exports: built networks as files for software that we did not write."""
