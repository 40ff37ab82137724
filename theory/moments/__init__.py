"""Exact Gaussian moments by two engines that share no code: matrix words, and coordinates."""
