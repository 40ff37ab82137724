r"""Algorithm 1, batch expectation-maximisation: what its updates do to the likelihood.

With a_ij = pi_j prod_l phi((y_il - x_il' w_j)/sigma) and gamma_ij = a_ij / sum_j' a_ij', for any
new a'_ij and their gamma'_ij

    log sum_j a'_ij - log sum_j a_ij
        = sum_j gamma_ij log(a'_ij / a_ij) + sum_j gamma_ij log(gamma_ij / gamma'_ij),

and the last sum is at least 0. Summed over i, the first is what the updates of pi and w maximise,
one by Gibbs' inequality, the other as least squares: so the likelihood never falls. Its slopes are
those of the maximised sum: pi_j dL/dpi_j = n pi_j(+), and dL/dw_j = G_j (w_j(+) - w_j)/sigma^2 with
G_j = sum_il gamma_ij x_il x_il': a step is a preconditioned ascent (Xu and Jordan 1996), and rests
exactly where L is stationary on the simplex.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp
from flint import arb, arb_mat, ctx

from papers.ledger import Correction, Evidence, Fault, Grade, statement
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step

#: Bits of the balls.
PRECISION = 256

#: Sizes (n, k, d, m, variance) of the instances, each from a random start and from one where EM is
#: nearly at rest. The noise is strong: prompts stay undecided.
SIZES = ((5, 2, 1, 2, 4.0), (6, 3, 2, 2, 9.0), (8, 2, 2, 3, 0.25))

#: Of a component in the library's step against the balls, relative to 1 + |w_j|.
TOLERANCE = 1e-9

Balls = list[list[arb]]


@dataclass(frozen=True)
class Updates:
    """One iteration, as an algorithm that is told the noise variance v.

    Parameters
    ----------
    scale
        From v to the s in exp(-r^2 / 2s), a function of balls.
    prior
        Whether gamma is weighted by pi.
    sharpness
        Power of the a_ij before they are divided by their sum.
    power
        Of gamma in the least squares.
    stretch
        Factor of the new components.
    """

    scale: Callable[[arb], arb]
    prior: bool = True
    sharpness: int = 1
    power: int = 1
    stretch: Fraction = Fraction(1)


@dataclass(frozen=True)
class _Instance:
    """Data and parameters, floats that the balls take as exact."""

    prompts: PromptBatch
    mixture: RegressionMixture

    def __str__(self) -> str:
        """Print all numbers for k = d = 1, else the sizes."""
        mixture, prompts = self.mixture, self.prompts
        n, k = prompts.ys.shape
        m, d = mixture.components.shape
        sizes = f"n = {n}, k = {k}, d = {d}, m = {m}, sigma^2 = {mixture.noise_std**2:g}"
        if k > 1 or d > 1:
            return f"{sizes}, at random"
        numbers = {
            "x": prompts.examples.ravel(),
            "y": prompts.ys.ravel(),
            "pi": mixture.weights,
            "w": mixture.components.ravel(),
        }
        told = (f"{name} = {_listed(values.tolist())}" for name, values in numbers.items())
        return ", ".join((sizes, *told))

    def squares(self, w: arb_mat) -> Balls:
        """Return |y_i - X_i w_j|^2."""
        sums = []
        for X, y in zip(self.prompts.examples, self.prompts.ys, strict=True):
            images = arb_mat(X.tolist()) * w.transpose()
            rows = [
                [(arb(float(label)) - images[line, j]) ** 2 for line, label in enumerate(y)]
                for j in range(w.nrows())
            ]
            sums.append([sum(row, arb(0)) for row in rows])
        return sums

    def log_likelihood(self, pi: Sequence[arb], w: arb_mat) -> arb:
        """Return L, without the constant, for pi over its sum: that of floats is not quite 1."""
        variance = arb(self.mixture.noise_std) ** 2
        total = -len(self.prompts) * sum(pi, arb(0)).log()
        for row in self.squares(w):
            terms = (p * (-q / (2 * variance)).exp() for p, q in zip(pi, row, strict=True))
            total += sum(terms, arb(0)).log()
        return total

    def responsibilities(self, claim: Updates) -> Balls:
        """Return gamma."""
        scale = claim.scale(arb(self.mixture.noise_std) ** 2)
        rows = []
        for squares in self.squares(arb_mat(self.mixture.components.tolist())):
            powers = [(-q / (2 * scale)).exp() for q in squares]
            if claim.prior:
                weights = self.mixture.weights.tolist()
                powers = [arb(p) * power for p, power in zip(weights, powers, strict=True)]
            powers = [power**claim.sharpness for power in powers]
            rows.append([power / sum(powers, arb(0)) for power in powers])
        return rows

    def step(self, claim: Updates) -> tuple[list[arb], arb_mat]:
        """Return pi and w after one iteration."""
        gamma = self.responsibilities(claim)
        n, m, d = len(gamma), self.mixture.num_components, self.mixture.dim
        pi = [sum((row[j] for row in gamma), arb(0)) / n for j in range(m)]
        components = []
        for j in range(m):
            gram, cross = arb_mat(d, d), arb_mat(d, 1)
            for i, row in enumerate(gamma):
                X = arb_mat(self.prompts.examples[i].tolist())
                y = arb_mat([[float(label)] for label in self.prompts.ys[i]])
                weight = row[j] ** claim.power
                gram += weight * (X.transpose() * X)
                cross += weight * (X.transpose() * y)
            solved = gram.solve(cross)
            stretch = arb(claim.stretch.numerator) / claim.stretch.denominator
            components.append([stretch * solved[c, 0] for c in range(d)])
        return pi, arb_mat(components)


def _listed(numbers: Iterable[arb | float]) -> str:
    return f"({', '.join(f'{float(number):.4g}' for number in numbers)})"


def _instances(rng: np.random.Generator) -> list[_Instance]:
    # x = 1, y = 4 and -4, w = 2 and -2, sigma = 2: the residuals are 2 and 6.
    prompts = PromptBatch(np.ones((2, 2, 1)), [[4.0], [-4.0]])
    found = [_Instance(prompts, RegressionMixture([[2.0], [-2.0]], 2.0))]
    for n, k, d, m, variance in SIZES:
        truth = RegressionMixture.random(m, d, variance**0.5, rng)
        prompts = truth.sample_prompts(n, k, rng)
        weights = rng.dirichlet(np.full(m, 4.0))
        start = RegressionMixture.random(m, d, variance**0.5, rng).components
        mixture = RegressionMixture(start, variance**0.5, weights / weights.sum())
        found.append(_Instance(prompts, mixture))
        for _ in range(200):
            mixture = _library_step(_Instance(prompts, mixture))
        if mixture.weights.min() > 1e-3:  # a component that fades says nothing here
            found.append(_Instance(prompts, mixture))
    return found


def _library_step(instance: _Instance) -> RegressionMixture:
    statistics = PromptStatistics(instance.prompts)
    gamma = expectation_step(statistics, instance.mixture).responsibilities
    return maximisation_step(statistics, gamma, instance.mixture.noise_std)


_CLAIM = Updates(lambda variance: variance)


def _em_latex(variance: str) -> str:
    """Algorithm 1, told this as the noise variance, and what its title says."""
    return (
        r"\gamma_{ij} \propto \pi_j \prod_l \phi\big((y_l^{(i)} - x_l^{(i)\top} w_j)/\sigma\big),"
        rf"\ {variance} \text{{ the noise variance}} \Rightarrow"
        r" L(\pi^{(t+1)}, w^{(t+1)}) \ge L(\pi^{(t)}, w^{(t)})"
    )


@statement(
    id="pathak2023/algorithm-1-likelihood",
    title="An iteration of Algorithm 1 never lowers the likelihood",
    source="Appendix C.2, Algorithm 1, with the noise variance that it requires",
    latex=_em_latex(r"\sigma"),
    printed=replace(_CLAIM, scale=lambda variance: variance**2),
    correction=Correction(
        _CLAIM,
        "sigma is the noise level, as in eq. (2), and not the noise variance that Algorithm 1"
        " requires: phi((y - x'w)/sigma) divides by it.",
        Fault.SLIP,
        latex=_em_latex(r"\sigma^2"),
    ),
    mutants={
        "no prior weights in gamma": replace(_CLAIM, prior=False),
        "each prompt to its most probable component, nearly": replace(_CLAIM, sharpness=40),
        "least squares with gamma^2": replace(_CLAIM, power=2),
        "components 1 % longer": replace(_CLAIM, stretch=Fraction(101, 100)),
        "phi(r / sigma)^2": replace(_CLAIM, scale=lambda variance: variance / 2),
        "a variance that is 1 % too large": replace(
            _CLAIM, scale=lambda variance: variance * 101 / 100
        ),
    },
    hypotheses=("sigma > 0", "the weighted least squares have one solution"),
)
def LIKELIHOOD(claim: Updates, rng: np.random.Generator) -> Evidence:
    """Step in balls, from random starts and from points where EM is nearly at rest."""
    instances = _instances(rng)
    worst, wrong = 0.0, ""
    with ctx.workprec(PRECISION):
        for instance in instances:
            pi, w = instance.step(claim)
            before = instance.log_likelihood(
                [arb(p) for p in instance.mixture.weights.tolist()],
                arb_mat(instance.mixture.components.tolist()),
            )
            gain = instance.log_likelihood(pi, w) - before
            if not gain > 0:
                wrong = wrong or (
                    f"{instance}: gamma_1 is {_listed(instance.responsibilities(claim)[0])}, w goes"
                    f" to {_listed(w.entries())}, and the log-likelihood, without its constant,"
                    f" changes by {float(gain.mid()):.3g} from {float(before.mid()):.4g}"
                )
            worst = max(worst, _off(instance, w))
    if not wrong and worst > TOLERANCE:
        wrong = f"the library's step is {worst:.3g} off the one in balls"
    return Evidence(
        not wrong,
        Grade.CERTIFIED,
        "the change of the log-likelihood in one iteration, in balls, is above 0; then the"
        " library's step against the balls",
        "every size, by the proof; tried: x = 1, y = 4 and -4, and (n, k, d, m, sigma^2) in"
        f" {SIZES}, each from a random start and after 200 iterations",
        worst,
        TOLERANCE,
        wrong,
    )


def _off(instance: _Instance, w: arb_mat) -> float:
    found = _library_step(instance).components
    exact = np.array([[float(x.mid()) for x in row] for row in w.tolist()])
    return float(np.max(np.abs(found - exact) / (1 + np.abs(exact))))


@dataclass(frozen=True)
class Slopes:
    """What the slopes of L are.

    Parameters
    ----------
    of_weight
        dL/dpi_j, from n, pi_j and its update pi_j(+).
    of_component
        The factor of G_j (w_j(+) - w_j) in dL/dw_j, from sigma.
    rests_at_truth
        Whether the true components are a fixed point for labels with noise.
    """

    of_weight: Callable[[Any, Any, Any], Any]
    of_component: Callable[[Any], Any]
    rests_at_truth: bool = False


_SLOPES = Slopes(lambda n, pi, new: n * new / pi, lambda sigma: 1 / sigma**2)


@statement(
    id="pathak2023/algorithm-1-fixed-points",
    title="An iteration is a preconditioned step up the likelihood: it rests where L is stationary,"
    " not at the truth",
    source="Appendix C.2, Algorithm 1 (the theorem is that of Xu and Jordan 1996)",
    latex=r"\pi_j \partial_{\pi_j} L = n \pi_j^+,\quad"
    r" \sigma^2 \nabla_{w_j} L = G_j (w_j^+ - w_j),\quad"
    r" G_j = \sum_{i,l} \gamma_{ij} x_l^{(i)} x_l^{(i)\top}",
    printed=_SLOPES,
    beyond=True,
    mutants={
        "1/sigma": replace(_SLOPES, of_component=lambda sigma: 1 / sigma),
        "1 % more": replace(_SLOPES, of_component=lambda sigma: sp.Rational(101, 100) / sigma**2),
        "down the likelihood": replace(_SLOPES, of_component=lambda sigma: -1 / sigma**2),
        "n + 1 for n": replace(_SLOPES, of_weight=lambda n, pi, new: (n + 1) * new / pi),
        "pi_j where its update is": replace(_SLOPES, of_weight=lambda n, pi, new: n * pi / pi),
        "at rest at the truth": replace(_SLOPES, rests_at_truth=True),
    },
    hypotheses=("pi_j > 0", "G_j invertible"),
    depends_on=("pathak2023/algorithm-1-likelihood",),
)
def FIXED_POINTS(claim: Slopes, rng: np.random.Generator) -> Evidence:
    """Differentiate L with symbols; then evaluate the step at the truth in an example."""
    wrong = ""
    for n, k, d, m in ((2, 1, 1, 2), (2, 2, 2, 2), (1, 1, 2, 3)):
        wrong = wrong or _wrong_slope(claim, n, k, d, m)
    # One component, one example: the step goes to the w of least squares, which is y / x.
    truth, noise, x = Fraction(2), Fraction(1), Fraction(3)
    after = x * (truth * x + noise) / x**2
    if not wrong and claim.rests_at_truth != (after == truth):
        wrong = f"m = 1, x = {x}, y = {truth} x + {noise}: from {truth} the step goes to {after}"
    return Evidence(
        not wrong,
        Grade.PROVED,
        "the slopes of L with symbols against the printed updates",
        "(n, k, d, m) = (2, 1, 1, 2), (2, 2, 2, 2), (1, 1, 2, 3), all else symbols; the terms of L"
        " have the same form for every n, k, d, m",
        counterexample=wrong,
    )


def _wrong_slope(claim: Slopes, n: int, k: int, d: int, m: int) -> str:
    """Compare with the definition of L; a_ij stand for themselves once it is differentiated."""
    sigma = sp.Symbol("sigma", positive=True)
    pi = sp.symbols(f"pi:{m}", positive=True)
    w = [sp.Matrix(sp.symbols(f"w{j}_:{d}")) for j in range(m)]
    xs = [[sp.Matrix(sp.symbols(f"x{i}_{h}_:{d}")) for h in range(k)] for i in range(n)]
    ys = [sp.symbols(f"y{i}_:{k}") for i in range(n)]
    residuals = [
        [[ys[i][h] - xs[i][h].dot(w[j]) for h in range(k)] for j in range(m)] for i in range(n)
    ]
    densities = [[sp.Function(f"f{i}_{j}")(*w[j]) for j in range(m)] for i in range(n)]
    mixed = [sum(p * f for p, f in zip(pi, row, strict=True)) for row in densities]
    L = sum(sp.log(value) for value in mixed)
    for j in range(m):
        gamma = [pi[j] * densities[i][j] / mixed[i] for i in range(n)]
        slope, told = sp.diff(L, pi[j]), claim.of_weight(n, pi[j], sum(gamma) / n)
        if sp.cancel(slope - told) != 0:
            return f"n = {n}, m = {m}: dL/dpi_{j + 1} is {sp.cancel(slope / told)} of the claim"
        # Normal equations of the printed least squares: G w(+) = c, so that G (w(+) - w) = c - G w.
        pulled = sum(
            (gamma[i] * residuals[i][j][h] * xs[i][h] for i in range(n) for h in range(k)),
            sp.zeros(d, 1),
        )
        for c in range(d):
            slope = sp.diff(L, w[j][c])
            for i in range(n):
                # f = exp(-sum_h r^2 / 2 sigma^2) has f' = f (log f)'.
                log = -sum(r**2 for r in residuals[i][j]) / (2 * sigma**2)
                inner = densities[i][j] * sp.diff(log, w[j][c])
                slope = slope.subs(sp.diff(densities[i][j], w[j][c]), inner)
            told = claim.of_component(sigma) * pulled[c]
            if sp.cancel(sp.together(slope - told)) != 0:
                ratio = sp.cancel(sp.together(slope / told))
                return f"n = {n}, k = {k}, d = {d}, m = {m}: dL/dw_{j + 1} is {ratio} of the claim"
    return ""


STATEMENTS = (LIKELIHOOD, FIXED_POINTS)
