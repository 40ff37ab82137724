"""The commands of `iclproof`, one a file; `papers.cli` registers them and turns errors into lines.

torch, sympy and matplotlib are imported inside the commands: help and bad calls need not wait.
"""
