"""Exact Gaussian moments by two engines that share no code: matrix words, and coordinates.

Words (`algebra`, `wick`, `evaluation`) hold for every dimension, and their equality is decided:

>>> from theory.moments.algebra import matrix, symmetric, vector
>>> from theory.moments.wick import expectation
>>> x, A = vector("x"), matrix("A")
>>> expectation((x @ A @ x) ** 2, {"x": symmetric("C")})
tr(A C)^2 + tr(A C A C) + tr(A C A' C)

`layer` derives the population loss of linear self-attention with them. `coordinate` knows monomials
of one dimension only, and judges the words.
"""
