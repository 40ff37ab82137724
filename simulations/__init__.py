"""What is sampled, trained, swept and stored.

- `simulations.store`: the content-addressed store; `simulations.stored_folder`: its atomic,
  checksummed folders.
- `simulations.prompt_files`: prompts and components of your own, from files.
- `simulations.matrix_files`: matrices of your own.
- `simulations.baselines`: mixtures fitted to prompts: batch EM, two subspace algorithms.
- `simulations.training`: linear self-attention trained, beside the limits of its gradient flow.
- `simulations.built_models`: hand-built transformers on disk.
- `simulations.experiments`: experiments, each a pure function of a config; `simulations.runs`:
  their runs in the store; `simulations.sweep`: grids of configs; `simulations.parallel`: one map
  over all cores, or over several machines.
- `simulations.figures`: figures of experiments, from stored results only; `simulations.drawing`:
  our one style.
- `simulations.bootstrap`: bands for means.
"""
