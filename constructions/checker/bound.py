"""The checker's own bound on |TF(P) - f*_pi(P)|, over the box and over its explained prompts.

Scores L_t = sum_j r_tj^2 / 2 sigma^2 come with errors |a_t| <= g + f sqrt(L_t) + e L_t. With s the
component of least L, E_p L - L_s <= ln 1/pi_s =: D (Gibbs), and with R = max |<w_s - w_t, x>| the
answer moves by at most

    R/2 (g + f sqrt(L_s + D) + e L_s) + R e D,

for |Cov_p(b, v)| is at most R/2 sqrt(E_p b^2), or R E_p |b|; e L_t = e L_s + e (L_t - L_s) takes
the first for its constant part and the second for the rest. Or the same with L_t + ln 1/pi_t in
the place of L_t and D = ln m, since E_p (L + ln 1/pi) is at most its minimum plus the entropy of p.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf, log, sqrt

import numpy as np
from jaxtyping import Float

from constructions.checker.answer import answer_errors
from constructions.checker.heads import Images, Scores, Softmax, images, mixture_head, scores
from constructions.checker.layer_norm import Normalised, normalise
from constructions.checker.rounding import SLACK, bound_by
from constructions.checker.squares import (
    Frame,
    Polynomial,
    Reading,
    Square,
    square_errors,
    square_of,
)
from constructions.checker.wings import heaviest, winged_errors, winged_square
from constructions.checker.wiring import MismatchError, Reads, Wiring, groups

#: Coefficients g, f, e of |a_t| <= g + f sqrt(L_t) + e L_t.
ScoreError = tuple[float, float, float]


@dataclass(frozen=True)
class Bounds:
    """Bounds on |TF(P) - f*_pi(P)|, and what they are made of.

    Parameters
    ----------
    box, explained
        For every prompt in the box, and for those that some component explains.
    sources
        For each of the two, its parts by source, which add up to it.
    """

    box: float
    explained: float
    sources: Mapping[str, Mapping[str, float]]


def derive(net: Wiring) -> Bounds:
    """Return rigorous bounds for a network, from its weights alone.

    Raises
    ------
    MismatchError
        If the weights do not do what the layout claims.
    """
    brought, summed, mixed = images(net), scores(net), mixture_head(net)
    squares, errors = _squares(net, brought, summed, mixed)
    parts = _score_errors(net, errors, summed, mixed)
    whole = _total(parts)
    settings = net.stored.certificate
    reach = (brought.sizes + settings.box.label) * SLACK
    largest = settings.max_examples * reach**2 / (2 * settings.noise_std**2) * SLACK
    _check_basis_wins(net, mixed, largest, whole)
    normalised = _queries(net, squares, mixed, float(largest.max()), whole)
    answered = answer_errors(net, mixed, normalised)
    prior = net.stored.weights
    least = {"box": inf, "explained": float(settings.max_examples)}
    sources = {}
    for name, most in least.items():
        first = (min(most, float(largest.min())), -log(prior.min()) + 1e-9)
        # The same with L + ln 1/pi: better if some component has next to no weight.
        second = (
            min(most + first[1], float((largest - np.log(prior)).min())) + 1e-9,
            log(len(prior)) + 1e-9,
        )
        found = [_moved(parts, whole, _spread(net), *case) for case in (first, second)]
        sources[name] = min(found, key=lambda f: sum(f.values())) | dict(answered)
    totals = {name: sum(found.values()) * SLACK for name, found in sources.items()}
    return Bounds(totals["box"], totals["explained"], sources)


def _squares(
    net: Wiring, brought: Images, summed: Scores, mixed: Softmax
) -> tuple[list[Square], list[Mapping[str, Polynomial]]]:
    """Layer 1's squares of residuals, and the errors of each, scaled as the scores need them."""
    settings, layout, units = net.stored.certificate, net.layout, net.stored.units
    inward, outward = net.matrix(0, "inward"), net.matrix(0, "outward")
    label = settings.box.label
    entered = 0.0 if settings.dtype == "float64" else 1.01 * net.rounding.unit * label
    normalised = _labels(net, brought, label + entered)
    squares, errors = [], []
    furthest = float((brought.sizes + brought.errors).max()) + label
    for t, (image, rows) in enumerate(zip(layout.image, layout.squares, strict=True)):
        size, off = float(brought.sizes[t]), float(brought.errors[t])
        pair = (units[[layout.token[0]]], float(units[image]))
        factor = Fraction(1)
        for weight in (summed.values[t], summed.outward[t], mixed.factors[t]):
            factor *= Fraction(float(weight))
        factor *= -2 * Fraction(settings.noise_std) ** 2 / summed.over
        frame = Frame(pair, net.bypass, len(units), factor)
        known, joint = label + entered, 2 * (min(label, size) + off + entered)
        near = float(brought.near[t]) + entered
        reading = Reading(known, known, size + off, near, pair, normalised, joint, brought.slope)
        if layout.one is not None:
            read, wings = winged_square(net, rows, image, furthest, frame)
            errors.append(winged_errors(read, wings, reading, len(rows), net.rounding))
            squares.append(heaviest(read, wings))
            continue
        what = f"layer 1: square {t + 1}"
        places = Reads([layout.token[0]], 0, image, layout.zero)
        found = groups(inward, outward[rows[0]], places, what)
        neurons = int(np.count_nonzero(outward[rows[0]]))
        if len(found) != 1 or 2 * len(found[0].outward) != neurons or found[0].first[0, 0] > 0:
            raise MismatchError(f"{what}: its neurons are not those of the square of a difference")
        read = square_of(found[0], np.ones(1), Fraction(-1), size + label + off, frame)
        squares.append(read)
        errors.append(square_errors(read, reading, neurons, net.rounding))
    return squares, errors


def _labels(net: Wiring, brought: Images, label: float) -> Normalised:
    """LayerNorm in layer 1: of the columns of labels, and of the sink."""
    computed = np.zeros(len(net.stored.constants))
    computed[net.layout.token[0]] = label
    computed[list(net.layout.image)] = brought.sizes + brought.errors
    computed *= net.stored.units
    # The rows <w_t, x>, in their units, add up to one form.
    rows, box = list(net.layout.image), net.stored.certificate.box
    form = net.stored.units[rows] @ net.stored.components
    together = float(bound_by(form[None, :], box.covariate, box.covariate_norm)[0])
    together += float(brought.errors @ net.stored.units[rows])
    spared = max(0.0, float(computed[rows].sum()) / SLACK - 1.001 * together)
    worst = _normalised(net, 0, np.zeros_like(computed))
    for column in net.labels.tolist():
        worst = worst.worst(_normalised(net, column, computed, spared))
    return worst


def _normalised(
    net: Wiring, column: int, computed: Float[np.ndarray, " p"], spared: float = 0.0
) -> Normalised:
    constants = net.stored.constants[:, column]
    return normalise(constants, computed, net.bypass, net.rounding, spared)


def _score_errors(
    net: Wiring, errors: list[Mapping[str, Polynomial]], summed: Scores, mixed: Softmax
) -> Mapping[str, ScoreError]:
    """Errors of the logits by source: sums over at most K examples, by Cauchy and Schwarz."""
    settings, u = net.stored.certificate, net.rounding.unit
    examples, sigma = settings.max_examples, settings.noise_std
    relative = (1 + summed.relative_error) * (1 + mixed.score_error) - 1
    parts: dict[str, ScoreError] = {}
    for source in errors[0]:
        p0, p1, p2 = (max(found[source][i] for found in errors) for i in range(3))
        parts[f"squares: {source}"] = (
            summed.over * p0 / (2 * sigma**2) * (1 + relative),
            p1 * sqrt(examples / 2) / sigma * (1 + relative),
            p2 * (1 + relative),
        )
    parts["sums over examples"] = (0.0, 0.0, relative)
    parts["constants of the prior"] = (mixed.constant_error, 0.0, 0.0)
    g, f, e = _total(parts)
    size = float(mixed.constants.max()) + 2 * (g + f)
    parts["exponentials"] = (
        1.01 * u * (net.rounding.exp + size),
        0.0,
        1.01 * u * (1 + e + f),
    )
    return parts


def _total(parts: Mapping[str, ScoreError]) -> ScoreError:
    g, f, e = (sum(part[i] for part in parts.values()) * SLACK for i in range(3))
    return (g, f, e)


def _check_basis_wins(
    net: Wiring, mixed: Softmax, largest: Float[np.ndarray, " m"], whole: ScoreError
) -> None:
    """In layer 3 some basis column must be far above all others, whatever the prompt."""
    g, f, e = whole
    lowest = float((largest * (1 + e) + f * np.sqrt(largest) + mixed.constants).min()) + g
    if not -lowest - mixed.others >= net.rounding.gap + 1:
        raise MismatchError(
            f"layer 3: another column comes within {-lowest - mixed.others:.6g} of the basis "
            f"columns, expected {net.rounding.gap:g}"
        )


def _queries(
    net: Wiring, squares: list[Square], mixed: Softmax, largest: float, whole: ScoreError
) -> Normalised:
    """LayerNorm in layer 3, of the columns of covariates.

    Layer 1's neurons act there as well: they have written the squares of x_1, or what they make
    of it where it exceeds their range, |F(r)| <= sum_i |c_i| s_i |r|.
    """
    box, units, layout = net.stored.certificate.box, net.stored.units, net.layout
    computed = np.zeros(len(net.stored.constants))
    computed[list(layout.token)] = box.covariate * 1.01 * units[list(layout.token)]
    first = [_normalised(net, column, computed) for column in net.covariates.tolist()]
    mean = max(found.mean for found in first)
    if max(found.scale_error for found in first) > 0.01:
        raise MismatchError("layer 1: LayerNorm is no known scaling in the columns of covariates")
    for rows, image, square in zip(layout.squares, layout.image, squares, strict=True):
        aside = mean / units[image] + mean / units[layout.token[0]] + square.zero * mean
        computed[list(rows)] = 1.1 * square.slopes / square.scale * (box.covariate + aside)
    g, f, e = whole
    scores_held = (largest * (1 + e) + f * sqrt(largest) + g) / np.abs(mixed.factors)
    computed[list(layout.score)] = 1.01 * scores_held
    held = (np.abs(mixed.values) + mixed.value_errors).max(axis=0)
    computed[list(layout.mixture)] = 1.01 * held * units[list(layout.mixture)]
    worst = _normalised(net, net.before, computed)
    for column in net.covariates.tolist():
        worst = worst.worst(_normalised(net, column, computed))
    return worst


def _spread(net: Wiring) -> float:
    """R = max |<w_s - w_t, x>|."""
    components, box = net.stored.components, net.stored.certificate.box
    return max(
        float(bound_by(components - w, box.covariate, box.covariate_norm).max()) for w in components
    )


def _moved(
    parts: Mapping[str, ScoreError], whole: ScoreError, spread: float, base: float, excess: float
) -> dict[str, float]:
    """How far the answer moves by each part of the scores' errors, along the path to all of them.

    ``base`` bounds the least L, ``excess`` how far the posterior's mean of L exceeds it. On the
    path, scores are off by at most (e + f/2c) L + g + f c/2 for any c, which widens both.
    """
    g, f, e = whole
    c = sqrt(max(1.0, base + excess))
    wide, aside = e + f / (2 * c), g + f * c / 2
    if not wide < 0.5:
        return dict.fromkeys(parts, inf)
    beyond = (2 * wide * base + 2 * aside + excess) / (1 - wide)
    return {
        source: spread / 2 * (p0 + p1 * sqrt(base + beyond) + p2 * base) + spread * p2 * beyond
        for source, (p0, p1, p2) in parts.items()
    }
