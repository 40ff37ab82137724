"""What is sampled, trained, swept and stored.

The third floor of the house: it may import `theory` and `constructions`, never `papers`.

- `simulations.store`: the one store of built models, runs and the ledger's cache.
- `simulations.prompt_files`: prompts and components read from the users' own files.
"""
