"""The bound on the rounding of misfits is the formula that it is said to be, and holds."""

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from theory import PromptBatch
from theory.misfit import Misfit

#: Bounds are computed in float64, and the misfits they contain are rounded.
CLOSE = 1e-9


def prompts_and_components(k: int, d: int, m: int, seed: int) -> tuple[PromptBatch, np.ndarray]:
    rng = np.random.default_rng(seed)
    xs, ys = rng.standard_normal((2, k + 1, d)), rng.standard_normal((2, k))
    return PromptBatch(xs, ys), rng.standard_normal((m, d))


def gamma(n: int) -> mpf:
    product = n * mpf(2) ** -53
    return product / (1 - product)


def judged(
    prompts: PromptBatch, components: np.ndarray, noise_std: float, b: int
) -> tuple[list[list[mpf]], list[list[mpf]]]:
    """Of prompt b: the misfits above the least, and the bound on their error, by prefix and j."""
    d = prompts.dim
    xs, ys = prompts.examples[b].tolist(), prompts.ys[b].tolist()
    rows = components.tolist()
    r = [[mp.fdot(w, x) - y for w in rows] for x, y in zip(xs, ys, strict=True)]
    s = mpf(noise_std) if noise_std else max(abs(v) for row in r for v in row)
    misfits, sums = [[mpf(0)] * len(rows)], [[mpf(0)] * len(rows)]
    bounds = [list(sums[0])]
    for n, (x, y, residuals) in enumerate(zip(xs, ys, r, strict=True), start=1):
        z = [v / s for v in residuals]
        least = min(v**2 for v in z)
        sizes = [mp.fsum(abs(v * w) for v, w in zip(x, row, strict=True)) for row in rows]
        eps = [gamma(d + 4) * (size + abs(mpf(y))) / s for size in sizes]
        misfits.append([f + v**2 - least for f, v in zip(misfits[-1], z, strict=True)])
        sums.append([t + 2 * abs(v) * e + e**2 for t, v, e in zip(sums[-1], z, eps, strict=True)])
        last = zip(sums[-1], misfits[-1], strict=True)
        bounds.append([t + gamma(n + 1) * f for t, f in last])
    return misfits, bounds


@pytest.mark.parametrize("noise_std", [0.0, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize(("k", "d", "m"), [(1, 1, 2), (3, 2, 4), (7, 20, 3), (2, 60, 2)])
def test_the_bound_is_its_formula(k: int, d: int, m: int, noise_std: float) -> None:
    """With gamma_{d+4}, and not with less: a bound of half of it would hold for most prompts."""
    prompts, components = prompts_and_components(k, d, m, seed=d)
    misfit = Misfit(prompts, components, noise_std)
    found, error = misfit.relative, misfit.error()
    with mpmath.workdps(50):
        for b in range(2):
            misfits, bounds = judged(prompts, components, noise_std, b)
            np.testing.assert_allclose(error[b], np.array(bounds, dtype=float), rtol=CLOSE)
            off = [
                [abs(mpf(v) - exact) for v, exact in zip(row, rows, strict=True)]
                for row, rows in zip(found[b].tolist(), misfits, strict=True)
            ]
            # What is common to all components is not counted: here the best has its own error, too.
            allowed = error[b] + error[b].max(axis=1, keepdims=True)
            assert np.all(np.array(off, dtype=float) <= allowed)


def test_without_examples_nothing_is_rounded() -> None:
    prompts, components = prompts_and_components(0, 3, 2, seed=0)
    assert not Misfit(prompts, components, 1.0).error().any()
