"""What a network for f*_pi costs, in closed form: sizes, parameters, multiplications.

The formulas count rows, heads and neurons of what the compiler builds, without building it; the
tests compare them with built networks. d is the dimension, m the number of components, K the most
examples, n the order of the square gadget (2n neurons a square), w the wings of the squares of
residuals (2w more; three layers in float32), and e = min(d, m): the last step multiplies x with
a mixture of components, as d products or as m, whichever are fewer.

* Three layers: d token rows; m rows that the previous column's <w_j, x> and, later, the mixture
  share; m squares, m scores, the answer; m unit vectors and 13 other constants.
* Two layers: a head for every one of the 2K tokens, whose e + 1 rows an example are apart.
* Line by line: the paper's 2d + 4m + 2 rows; m unit vectors and 14 other constants.

A prior that is not uniform takes one constant row more, or, line by line, m rows and a layer.
"""

from dataclasses import asdict, dataclass, replace
from math import log, pi, sqrt
from typing import Literal

#: Three layers of one head each; two, the first with 2K heads; one layer for every operator.
Design = Literal["three layers", "two layers", "line by line"]

DESIGNS: tuple[Design, ...] = ("three layers", "two layers", "line by line")


@dataclass(frozen=True)
class LayerCost:
    """The sizes of one layer.

    Parameters
    ----------
    heads
        How many heads.
    attention_width
        d_att, rows of W^Q of each.
    feed_forward_width
        Neurons.
    """

    heads: int
    attention_width: int
    feed_forward_width: int

    def parameters(self, width: int) -> int:
        """Return 4 h d_att p + 2 d_ff p: W^Q, W^K, W^V, W^C of each head; W^in, W^out."""
        return (4 * self.heads * self.attention_width + 2 * self.feed_forward_width) * width

    def multiplications(self, width: int, columns: int) -> int:
        """Return those of all matrix products on T columns, in one forward pass.

        h d_att (4 p (T - 1) + 2 (T - 1)^2) + 2 d_ff p T: a head has T - 1 queries and as many keys,
        and computes all (T - 1)^2 logits, hidden ones too.
        """
        seen = columns - 1
        attended = self.heads * self.attention_width * (4 * width * seen + 2 * seen**2)
        return attended + 2 * self.feed_forward_width * width * columns


@dataclass(frozen=True)
class Cost:
    """The sizes of a network.

    Parameters
    ----------
    design
        How the network is built.
    width
        Rows p of the residual stream.
    columns
        Columns T: the prompt's 2K + 1, the sink and the m basis columns.
    by_layer
        The layers, first to last.
    """

    design: Design
    width: int
    columns: int
    by_layer: tuple[LayerCost, ...]

    @property
    def layers(self) -> int:
        """How many layers."""
        return len(self.by_layer)

    @property
    def heads(self) -> int:
        """The most heads of a layer."""
        return max(layer.heads for layer in self.by_layer)

    @property
    def feed_forward_width(self) -> int:
        """The most neurons of a layer."""
        return max(layer.feed_forward_width for layer in self.by_layer)

    @property
    def parameters(self) -> int:
        """All weights, zeros included."""
        return sum(layer.parameters(self.width) for layer in self.by_layer)

    @property
    def multiplications(self) -> int:
        """Those of all matrix products in one forward pass of a prompt of K examples."""
        return sum(layer.multiplications(self.width, self.columns) for layer in self.by_layer)

    @property
    def largest_attention(self) -> int:
        """Entries of the largest matrix of logits that stands in memory at once, (T - 1)^2."""
        return (self.columns - 1) ** 2

    def as_dict(self) -> dict[str, object]:
        """Return all figures by name, for JSON."""
        return {
            "design": self.design,
            "layers": self.layers,
            "heads": self.heads,
            "width": self.width,
            "columns": self.columns,
            "feed_forward_width": self.feed_forward_width,
            "parameters": self.parameters,
            "multiplications": self.multiplications,
            "largest_attention": self.largest_attention,
            "by_layer": [asdict(layer) for layer in self.by_layer],
        }


def cost(
    dim: int,
    num_components: int,
    max_examples: int,
    *,
    design: Design,
    order: int = 10,
    wings: int = 0,
    prior: bool = False,
) -> Cost:
    """Return what a network costs, for any noise and box.

    Parameters
    ----------
    dim, num_components, max_examples
        d and m at least 1 (components of positive weight count), K >= 1.
    design
        How it is built.
    order
        n >= 1 of the square gadget, its number of scales; the default is 10 in float64, and 6 in
        float32.
    wings
        w >= 0 of the squares of residuals, in three layers: none is the default in float64, about
        7.6 ln(B / sigma) - 16 in float32 for residuals up to B. (Where a tolerance makes float64
        take wings, squares are spread over rows, too; that is not counted here.)
    prior
        Whether the prior weights differ.

    Raises
    ------
    ValueError
        If a size is out of its range or the design is unknown; all problems at once.

    >>> cost(20, 20, 60, design="three layers").parameters
    301872
    """
    sizes = {"dim": dim, "num_components": num_components, "max_examples": max_examples}
    problems = [
        f"{name} is {value}, expected 1 or more"
        for name, value in {**sizes, "order": order}.items()
        if value < 1
    ]
    if wings < 0 or (wings > 0 and design != "three layers"):
        problems.append(f"wings is {wings}, expected 0 or more, and 0 but for three layers")
    if design not in DESIGNS:
        problems.append(f"design is {design!r}, expected one of {', '.join(DESIGNS)}")
    if problems:
        raise ValueError(f"cost: {'; '.join(problems)}")
    prior = prior and num_components > 1
    build = {"three layers": _three_layers, "two layers": _two_layers}.get(design, _line_by_line)
    width, layers = build(dim, num_components, max_examples, order, prior)
    if wings:
        first = layers[0]
        neurons = first.feed_forward_width + 2 * wings * num_components
        layers[0] = replace(first, feed_forward_width=neurons)
    return Cost(design, width, 2 * max_examples + 2 + num_components, tuple(layers))


def _three_layers(d: int, m: int, K: int, n: int, prior: bool) -> tuple[int, list[LayerCost]]:
    return d + 4 * m + 14 + prior, [
        LayerCost(1, max(3, m), 2 * n * m),
        LayerCost(1, max(2, m), 0),
        LayerCost(1, m + 2, 4 * n * min(d, m)),
    ]


def _two_layers(d: int, m: int, K: int, n: int, prior: bool) -> tuple[int, list[LayerCost]]:
    e = min(d, m)
    return d + (K + 1) * e + 3 * K + 2 * m + 9 + prior, [
        LayerCost(2 * K, max(2, e), 2 * n * m * K),
        LayerCost(1, m + 2, 4 * n * e),
    ]


def _line_by_line(d: int, m: int, K: int, n: int, prior: bool) -> tuple[int, list[LayerCost]]:
    local = [2 * d, 0, 2, 2 * m, 2 * n * m, 0, 0, 4 * n * m, 2]
    heads = {1: max(3, d), 5: max(2, m), 6: m + 2}
    layers = [
        LayerCost(1, heads[index], neurons) if index in heads else LayerCost(0, 0, neurons)
        for index, neurons in enumerate(local)
    ]
    if prior:
        layers.insert(6, LayerCost(0, 0, 2 * m))
    return 2 * d + 5 * m + 16 + (m if prior else 0), layers


@dataclass(frozen=True)
class CertifiedError:
    """What the three-layer network is certified to in float64: to a factor of two, from d = 5 on.

    Parameters
    ----------
    explained
        Where a component's residual sum is at most 2 k sigma^2.
    box
        Anywhere in the box.
    """

    explained: float
    box: float


def certified_error(
    dim: int,
    num_components: int,
    max_examples: int,
    noise_std: float,
    *,
    covariate: float,
    label: float,
) -> CertifiedError:
    """Return what a certificate comes to, without building the network.

    For components with independent N(0, 1) entries and the box |x_il| <= X, |y| <= Y. A residual is
    at most B = X (0.80 d + 0.60 sqrt(d ln m)) + Y, two answers differ by at most
    R = X (1.13 d + 0.85 sqrt(2 d ln m)): means of |N(0, 1)| and |N(0, 2)|, and what the largest of
    m and of m^2 sums of d such numbers adds. A squared residual is computed to c u B |r|,
    c = 2 d + 340 with the gadget of order 10. With M the mean score, the answer is off by

        (R/2) c u B sqrt(K M / 2) / sigma,  M = K + ln m,  or  M = K B^2 / 2 sigma^2 in all the box.

    Source: docs/certificates.md, keeping its largest terms.

    Parameters
    ----------
    dim, num_components, max_examples, noise_std
        d, m, K, sigma.
    covariate, label
        X and Y.

    Raises
    ------
    ValueError
        If an argument is not positive.
    """
    sizes = (dim, num_components, max_examples, noise_std, covariate, label)
    if not all(size > 0 for size in sizes):
        raise ValueError(f"certified_error: got {sizes}, expected positive numbers")
    extremes = sqrt(dim * log(num_components))
    residual = covariate * (sqrt(2 / pi) * dim + sqrt(1 - 2 / pi) * extremes) + label
    spread = covariate * sqrt(2) * (sqrt(2 / pi) * dim + sqrt(1 - 2 / pi) * sqrt(2) * extremes)
    rounding = (2 * dim + 340) * 2.0**-53 * residual

    def answer(score: float) -> float:
        return spread / 2 * rounding * sqrt(max_examples * score / 2) / noise_std

    return CertifiedError(
        answer(max_examples + log(num_components)),
        answer(max_examples * (residual / noise_std) ** 2 / 2),
    )
