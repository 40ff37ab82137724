"""How improbable a false alarm of a sampled check must be: the one place where it is computed.

A sampled check compares a mean with its expectation in standard errors, so some seeds must raise a
false alarm. A whole run of all statements, the full tier with its `FULL_ROUNDS` seeds, may do so
for less than one of `SEEDS_A_FALSE_ALARM` seeds. By Bonferroni each of at most `MOST_SAMPLED`
sampled statements, in each round, is allowed an equal share, however they depend on each other.
"""

from statistics import NormalDist

#: With how many seeds the full tier runs a check that draws.
FULL_ROUNDS = 5

#: A whole run raises a false alarm for less than one of so many seeds.
SEEDS_A_FALSE_ALARM = 1000

#: The most statements graded *sampled* that there may be.
MOST_SAMPLED = 20


def sampled_level(comparisons: int = 1) -> float:
    """Return the probability of a false alarm that one comparison of a sampled check may have.

    Parameters
    ----------
    comparisons
        How many the check makes each time it is run, at least 1.

    Returns
    -------
    float
        ``1 / (SEEDS_A_FALSE_ALARM MOST_SAMPLED FULL_ROUNDS comparisons)``: 1e-5 over comparisons.

    Raises
    ------
    ValueError
        If `comparisons` is not at least 1.
    """
    if comparisons < 1:
        raise ValueError(f"comparisons is {comparisons}, expected at least 1")
    return 1 / (SEEDS_A_FALSE_ALARM * MOST_SAMPLED * FULL_ROUNDS * comparisons)


def largest_z(comparisons: int = 1) -> float:
    """Return the largest |z| that one of so many comparisons may have if z is standard normal.

    It is the two-sided quantile of `sampled_level`: 4.42 for one comparison, 4.89 for ten.

    Raises
    ------
    ValueError
        If `comparisons` is not at least 1.
    """
    return -NormalDist().inv_cdf(sampled_level(comparisons) / 2)
