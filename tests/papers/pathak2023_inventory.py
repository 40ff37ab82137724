"""Every item of Pathak et al. 2023 that states something, from the first line of it to the last.

An item is covered by statements, or has a reason why there is nothing to check. Items are in the
order of the text.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One place of the paper: what covers it, or why nothing does."""

    covered: tuple[str, ...] = ()
    reason: str = ""


def by(*names: str) -> Item:
    """Covered by these statements."""
    return Item(tuple(name if "/" in name else f"pathak2023/{name}" for name in names))


def because(reason: str) -> Item:
    """Nothing to check, and why."""
    return Item(reason=reason)


_NOTATION = "defines notation only"
_CITED = "cites results of other papers"
_SETTINGS = "settings of an experiment: says what was done, and claims nothing"
_OPERATORS = ("copy-down", "copy-over", "mul", "aff", "scaled-agg", "soft")

INVENTORY: dict[str, Item] = {
    # Section 1
    "Section 1, the components f_i(x) = <w_i, x>": by("section-1-components"),
    "Section 1, what earlier algorithms need": because(_CITED),
    "Section 1, 'our contributions'": because("a summary of what the sections below claim"),
    "Eq. (1), the mixture and its normalisation": by("display-1"),
    "Eq. (2), the law of prompts": by("display-2"),
    "Footnote 1 (the point mass for sigma = 0)": by("footnote-1"),
    "Section 1.2, h_j, H_{:i} and the sizes of a layer": because(_NOTATION),
    "Footnote 2 (the empty prefix)": by("footnote-2"),
    "Display (3), the shapes of the weights": by("display-3"),
    "Section 1.2, 'for each column i in [p]'": by("section-1-2-columns"),
    "Section 1.2, a layer: attention and the dense part": by("section-1-2"),
    "Section 1.2, softmax": by("section-1-2-softmax"),
    "Section 1.2, GeLU": by("section-1-2-gelu"),
    "Section 1.2, layer normalisation": by("section-1-2-layer-norm"),
    "Footnote 3 (s_1j = 0)": by("footnote-2"),
    # Section 2
    "Section 2, MSE(f)": by("section-2-mse"),
    "Section 2, the posterior mean minimises the MSE": by("display-4-optimal"),
    "Display (4), f*_pi is the posterior mean": by("display-4"),
    "Display (4) for sigma = 0": by("display-4-zero-noise"),
    "Section 2, w-hat does not depend on x_{k+1}": by("display-4"),
    "Theorem 1": by("theorem-1", "theorem-1-float32", "three-layers", "two-layers"),
    "Theorem 1 for all of R^d": by("theorem-1-everywhere", "beyond/no-network-is-exact"),
    "Theorem 1 for sigma = 0": by("theorem-1-zero-noise"),
    "Figure 1, level by level": by(*(f"figure-1-level-{level}" for level in range(1, 6))),
    "Display (5), the residuals": by("display-5"),
    "Display (6), the probabilities": by("display-6"),
    "Section 2, the last chain of equalities": by("figure-1-level-5"),
    "Section 2, 'linear transforms in the first and final layers'": by("figure-1-operations"),
    "Section 2, the circuit for general k and m": by("figure-1-level-3", "figure-1-level-5"),
    # Section 3
    "Section 3, p = 256, d_ff = 4p, 8 heads, 12 layers": by("section-3-sizes"),
    "Section 3.1, ordinary least squares": by("figure-2-least-squares"),
    "Section 3.1, the normalised MSE": because(_NOTATION),
    "Display (7), the argmin": by("display-7"),
    "Section 3.1, least squares is suboptimal": by(
        "figure-2-least-squares", "figure-2-least-squares-error"
    ),
    "Footnote 4 (the oracles without noise)": by("figure-2-noiseless"),
    "Figure 2": by("figure-2-transformer", "figure-2-least-squares"),
    "Section 3.2, the plug-in procedures": because(_SETTINGS),
    "Figure 3": by("figure-3-transformer", "figure-3-oracle"),
    "Section 3.2, the oracle prediction error": by("figure-3-oracle"),
    "Section 3.3, the squared distance of two algorithms": by("section-3-3-distance"),
    "Figure 4": by("figure-4-transformer"),
    "Section 3.4, covariate scaling": by("covariate-scaling"),
    "Figure 5": by("figure-5-transformer"),
    "Section 3.4, weight scaling": by("weight-scaling-law"),
    "Section 3.4, weight shift": by("weight-shift-law"),
    "Figure 6": by("figure-6-transformer"),
    "Section 3.4, comparison to the posterior mean": by(
        "figures-7-to-9-transformer", "covariate-scaling", "shifted-log-odds"
    ),
    "Section 4": because("a summary, and questions for later work"),
    # Appendix A and B
    "Appendix A": because(_CITED),
    **{f"Appendix B.1, {name.replace('-', '_')}": by(f"definition-{name}") for name in _OPERATORS},
    **{
        f"Proposition 1 for {name.replace('-', '_')}": by(f"proposition-1-{name}")
        for name in _OPERATORS
    },
    "Appendix B.2, I_even(k) and I_odd(k)": by("program-columns"),
    "Appendix B.2, H^(0) and where the answer stands": by("program-answer"),
    **{
        f"Appendix B.2, line {line} of the program": by(f"program-line-{line}")
        for line in range(1, 10)
    },
    "Appendix B.2.1, the matrices H^(0) to H^(9)": by("program-illustration"),
    "Appendix B.2.1, p = 2d + 4m + 2 and q = 2k + 1": by("budget-rows"),
    "Definition 1": by("definition-1"),
    "Display (8a)": by("display-8a"),
    "Display (8b)": by("display-8b"),
    "Appendix B.3, RAW, mul and aff are single layers": by(
        "proposition-1-mul", "proposition-1-aff"
    ),
    **{f"Display (9{letter})": by(f"display-9{letter}") for letter in "abc"},
    "Lemma 1": by("lemma-1"),
    "Lemma 2": by("lemma-2", "lemma-2-network", "proposition-1-soft"),
    "Appendix B.3.1, div": by("definition-div"),
    "Appendix B.3.1, mov": by("definition-mov"),
    "Appendix B.3.1, sigmoid": by("definition-sigmoid"),
    "Appendix B.3.1, div and mov are operators of Akyurek et al.": because(_CITED),
    "Lemma 2, the five steps of the proof": by("lemma-2-steps"),
    "Lemma 2, the sigmoid by attention": by("lemma-2-sigmoid"),
    "Lemma 2, the softmax values s_i": by("lemma-2-weights"),
    "Lemma 2, the value is placed by W^C alone": by("lemma-2-write"),
    # Appendices C and D
    "Appendix C, how the transformers are trained": because(_SETTINGS),
    "Appendix C.1, dropout and the curriculum": because(_SETTINGS),
    "Algorithm 1, its updates": by("algorithm-1-likelihood", "algorithm-1-fixed-points"),
    "Algorithm 1, when it stops": by("algorithm-1-stopping-rule"),
    "Figure 7": by("figure-7"),
    "Figure 8": by("figure-8"),
    "Figure 9": by("figure-9"),
}
