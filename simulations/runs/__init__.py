"""Runs of experiments: computed once, kept in the store, gone on with after a kill."""
