"""Which figures are on the pages of which statements."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Illustration:
    """A figure on the pages of statements.

    Attributes
    ----------
    name
        Of its file.
    alt
        What it shows, for those who do not see it.
    caption
        What stands below it.
    statements
        The ids of the statements whose pages show it.
    svg
        The file.
    """

    name: str
    alt: str
    caption: str
    statements: tuple[str, ...]
    svg: bytes


#: The drawings of the proofs: what each shows, and whose pages it is on.
_PROOFS: dict[str, tuple[str, tuple[str, ...]]] = {
    "circuit": (
        "The circuit of Figure 1 with the numbers of a prompt",
        (
            *(f"pathak2023/figure-1-level-{level}" for level in range(1, 6)),
            "pathak2023/figure-1-operations",
        ),
    ),
    "matrices": (
        "The matrices H^(0) to H^(9) of the program of Appendix B.2, for one prompt",
        tuple(f"pathak2023/program-line-{line}" for line in range(1, 10)),
    ),
    "errors": (
        "The error after each layer of the program, over 100 prompts",
        ("pathak2023/theorem-1",),
    ),
    "stream_three_layers": (
        "What each of three layers writes into the columns of a prompt",
        ("pathak2023/three-layers",),
    ),
    "stream_two_layers": (
        "What each of two layers writes into the columns of a prompt",
        ("pathak2023/two-layers",),
    ),
    "far-from-the-box": (
        "The error of a compiled network against the distance from its box",
        ("beyond/no-network-is-exact",),
    ),
    "flow-phase-portrait": (
        "The gradient flow for d = 1: lines of flow, balance, saddle and limits",
        ("zhang2024/theorem-4", "zhang2024/lemma-17", "beyond/flow-in-one-dimension"),
    ),
    "flow-loss": (
        "The loss along the flow, beside the exponentials that bound it",
        ("zhang2024/lemma-12", "beyond/exact-rate"),
    ),
    "flow-looseness": (
        "How far each bound of the proof is from what it bounds",
        ("zhang2024/lemma-19", "beyond/sharper-bounds"),
    ),
    "flow-basins": (
        "Which starts reach which minimum: balanced ones, and all weights for d = 1 and d = 2",
        ("beyond/other-minima", "beyond/basins-for-d-1", "beyond/one-curve-does-not-converge"),
    ),
}

#: The figures of experiments, which have captions of their own, and whose pages they are on.
_EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "pathak2023-figure-2": (
        "pathak2023/figure-2-least-squares",
        "pathak2023/figure-2-noiseless",
        "pathak2023/figure-2-least-squares-error",
    ),
    "pathak2023-figure-3": ("pathak2023/figure-3-oracle",),
    "pathak2023-figure-7": ("pathak2023/figure-7", "pathak2023/covariate-scaling"),
    "pathak2023-figure-8": ("pathak2023/figure-8", "pathak2023/weight-scaling-law"),
    "pathak2023-figure-9": ("pathak2023/figure-9", "pathak2023/weight-shift-law"),
    "pathak2023-em-recovery": ("pathak2023/algorithm-1-likelihood",),
    "zhang2024-figure-1": ("zhang2024/figure-1-curves", "zhang2024/figure-1-dashed-line"),
    "zhang2024-shifts": tuple(
        f"zhang2024/section-4-2-{what}-shift" for what in ("task", "query", "covariate")
    ),
    "zhang2024-random-covariances": (
        "zhang2024/section-4-3-conditional-mean",
        "beyond/random-covariance-floor",
    ),
    "zhang2024-trained": ("zhang2024/trained-fixed", "zhang2024/trained-exponential"),
    "zhang2024-trained-step-size": ("zhang2024/balance-under-sgd",),
}


def illustrated() -> set[str]:
    """Return the ids of the statements that have a figure."""
    listed = [*(names for _, names in _PROOFS.values()), *_EXPERIMENTS.values()]
    return {name for names in listed for name in names}


def illustrations(statements: Collection[str]) -> Iterator[Illustration]:
    """Draw the figures that belong to some statements, one by one: a second or so each.

    Figures of experiments are drawn from the results that come with the program; what it lacks is
    left out.

    Parameters
    ----------
    statements
        Ids; those without a figure are passed over.
    """
    if illustrated().isdisjoint(statements):
        return
    # Here: they bring matplotlib and torch.
    from papers.report.drawings import DRAWINGS, experiment  # noqa: PLC0415
    from simulations.drawing.files import svg  # noqa: PLC0415

    for name, (told, listed) in _PROOFS.items():
        shown = tuple(one for one in listed if one in statements)
        if shown:
            yield Illustration(name, told, f"{told}.", shown, svg(DRAWINGS[name]()))
    for name, listed in _EXPERIMENTS.items():
        shown = tuple(one for one in listed if one in statements)
        drawn = experiment(name) if shown else None
        if drawn is not None:
            figure, caption = drawn
            title = caption.partition(". ")[0]
            yield Illustration(name, title, caption, shown, svg(figure))
