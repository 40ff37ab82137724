"""Every item of Zhang et al. 2024 that states something, from the first line of it to the last.

An item is covered by statements, or has a reason why there is nothing to check. The scan has no
page numbers; items are in the order of the text.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One place of the paper: what covers it, or why nothing does."""

    covered: tuple[str, ...] = ()
    reason: str = ""


def by(*names: str) -> Item:
    """Covered by these statements."""
    return Item(tuple(name if "/" in name else f"zhang2024/{name}" for name in names))


def because(reason: str) -> Item:
    """Nothing to check, and why."""
    return Item(reason=reason)


_NOTATION = "defines notation only"
_EXPERIMENT = "what trained GPT-2 networks do: an experiment, not a statement about the layer"

INVENTORY: dict[str, Item] = {
    # Sections 1 and 2
    "Footnote 1 (a concurrent work)": because("points at another paper, and states nothing"),
    "Section 2: one step of gradient descent cannot have a small error": by("section-2-one-step"),
    "Footnote 2 (one step of gradient descent from zero)": by("footnote-2"),
    # Section 3
    "Section 3, Vec of a 2 x 2 matrix, and <A, B> = tr(AB')": by("lemma-29"),
    "Section 3, |x|_A and other notation": because(_NOTATION),
    "Definition 1 and eq. (1)": by("definition-1"),
    "Definition 2 and eq. (2)": by("definition-2"),
    "Section 3.2, softmax attention f_Attn": because(
        "defines the module that eq. (3) simplifies; no result of the paper is about it"
    ),
    "Section 3.2, W^P W^V and (W^K)'W^Q merged": because(
        "defines the layer that is studied; no equality with softmax attention is claimed"
    ),
    "Eq. (3)": by("eq-3"),
    "Section 3.2, trained vision transformers have such matrices": because(
        "cites measurements of other networks"
    ),
    "Eq. (4), and rho = N": by("eq-3"),
    "Section 3.2, the prediction is the bottom right entry": by("eq-3", "eq-6"),
    "Eq. (5)": by("eq-6"),
    "Eq. (6), and which entries of the weights it depends on": by("eq-6"),
    "Section 3.3, the law of the training prompts": by("eq-8"),
    "Eq. (7)": by("eq-8", "eq-8-sampled"),
    "Eq. (8), the limit B -> infinity": by("eq-8", "eq-8-sampled", "eq-8-flow"),
    "Eq. (9), the limit of small steps": by("eq-9"),
    "Assumption 3 and eq. (10)": by("assumption-3"),
    "Section 3.3, random M give such a start almost surely": by("assumption-3"),
    "Section 3.3, the weights stay balanced": by("lemma-17"),
    # Section 4.1
    "Theorem 4 and eq. (11)": by("theorem-4"),
    "Theorem 4, a global minimum of the population loss (8)": by(
        "theorem-4", "definition-1", "beyond/layer-minimum"
    ),
    "Section 4.1, the construction of von Oswald et al.": by("von-oswald"),
    "Section 4.1, W^PV c and W^KQ / c predict the same": by("von-oswald"),
    "Eq. (12)": by("eq-12"),
    "Eq. (13)": by("eq-12"),
    "Eq. (14)": by("eq-14"),
    "Theorem 5 and eqs. (15) and (16)": by("theorem-5", "theorem-5-sampled"),
    "Section 4.1, the error is O(1/M + 1/N^2)": by("theorem-5"),
    "Section 4.1, Sigma for a noiseless linear model": by("theorem-5-sigma"),
    "Section 4.1, the risk for one noiseless task": by("noiseless-risk"),
    "Section 4.1, its bound by Gamma >= Lambda": by("noiseless-bound"),
    "Section 4.1, the bound on average over w": by("corollary-6"),
    "Corollary 6": by("corollary-6", "eq-12"),
    "Section 4.1, an error bounded away from zero": by("definition-2"),
    # Section 4.2
    "Section 4.2, the three kinds of shifts": because(_NOTATION),
    "Eq. (17)": by("eq-12", "section-4-2-query-shift"),
    "Section 4.2, the prompt before eq. (17)": by("section-4-2-prompt"),
    "Section 4.2, task shifts": by("section-4-2-task-shift"),
    "Section 4.2, query shifts, and eq. (18)": by("section-4-2-query-shift"),
    "Section 4.2, a query orthogonal to the examples": by("section-4-2-orthogonal-query"),
    "Section 4.2, covariate shifts": by("section-4-2-covariate-shift"),
    "Section 4.2, least squares is robust to scaling": by("section-4-2-least-squares"),
    # Section 4.3
    "Definition 7 and eq. (19)": by("definition-7"),
    "Section 4.3, Definition 1 is the case of one distribution": by("definition-7"),
    "Section 4.3, examples and query are not independent": by("section-4-3-dependence"),
    "Eq. (20)": by("definition-7"),
    "Theorem 8 and eqs. (21) and (22)": by("theorem-8", "lemma-26"),
    "Eq. (23)": by("eq-23"),
    "Section 4.3, close to the truth only for a fixed covariance": by(
        "eq-23", "beyond/random-covariance-floor"
    ),
    "Section 4.3, the average over Lambda_new": by("section-4-3-conditional-mean", "eq-23"),
    "Section 4.3, exponential eigenvalues": by("section-4-3-moments"),
    "Figure 1, the dashed line": by("figure-1-dashed-line"),
    "Figure 1, least squares, zero and the layer": by("figure-1-curves"),
    "Figure 1, GPT-2, and its discussion": because(_EXPERIMENT),
    # Section 5
    "Lemma 9 and eq. (24)": by("lemma-9"),
    "Eq. (25)": by("eq-8"),
    "Section 5.1, the eigenvalues of H are products": by("section-5-1-spectrum"),
    "Section 5.1, the characteristic polynomial of X": by("section-5-1-characteristic-polynomial"),
    "Section 5.1, at least d + 1 negative eigenvalues": by(
        "section-5-1-negative-eigenvalues", "section-5-1-signature"
    ),
    "Lemma 10 and eqs. (26) and (27)": by("lemma-10"),
    "Eq. (28)": by("lemma-15"),
    "Lemma 11 and eq. (29)": by("lemma-11"),
    "Section 5.2, predictions at those minima": by("eq-12", "eq-14"),
    "Lemma 12 and eq. (30)": by("lemma-12"),
    "Section 6, stochastic gradient descent with finite steps, and other starts": by(
        "trained-fixed",
        "trained-exponential",
        "balance-under-sgd",
        "beyond/initialisation-not-needed",
    ),
    # Appendix A
    "Lemma 13 (Lemma 9 again) and its proof": by("lemma-13"),
    "Lemma 14 (Lemma 10 again) and its proof": by("lemma-14"),
    "Eq. (31)": by("eq-31"),
    "Eq. (32), and E E'/N in terms of it": by("eq-32"),
    "Eqs. (33) and (34)": by("eq-33"),
    "Appendix A.2, Step two, D in four lines": by("eq-35"),
    "Eq. (35)": by("eq-35"),
    "Eq. (36), Step three: u_12 and u_21 vanish": by("eq-36", "lemma-14"),
    "Eq. (37), and E hat Lambda^2 = Gamma Lambda": by("eq-37"),
    "Eq. (38)": by("lemma-14"),
    "Eq. (39)": by("eq-35", "lemma-14"),
    "Eq. (40)": by("lemma-14"),
    "Lemma 15 and eq. (41)": by("lemma-15"),
    "Corollary 16": by("corollary-16"),
    "Lemma 17 and eq. (42)": by("lemma-17"),
    "Lemma 18 and eq. (43)": by("lemma-18"),
    "Appendix A.4, the loss at the start (proof of Lemma 18)": by("lemma-18-start"),
    "Lemma 19 and eq. (44)": by("lemma-19"),
    "Lemma 20 (Lemma 12 again)": by("lemma-20"),
    "Eq. (45)": by("eq-45"),
    "Eq. (46)": by("eq-45"),
    "Appendix A.4, the loss decays like exp(-mu t)": by("lemma-20"),
    "Appendix A.4, from the loss to u U - Gamma^-1": by("eq-46-limit"),
    # Appendix B
    "Theorem 5 again": by("theorem-5"),
    "Appendix B, the risk exists": by("theorem-5-finite-error"),
    "Eq. (47)": by("eq-14"),
    "Eq. (48)": by("appendix-b-terms"),
    "Appendix B, the terms I to VI": by("appendix-b-terms"),
    # Appendix C
    "Appendix C, Lemma 9 holds for random covariances": by("lemma-9"),
    "Lemma 21 and eq. (49)": by("lemma-21"),
    "Eq. (50)": because("no display of the scan has this number; Lemma 21 defines Gamma_tau there"),
    "Corollary 22 and eqs. (51) and (52)": by("corollary-22"),
    "Lemma 23 and eq. (53)": by("lemma-23"),
    "Lemma 24 and eqs. (54) to (56)": by("lemma-24"),
    "Lemma 25 and eq. (57)": by("lemma-25"),
    "Appendix C.3, the proof of Lemma 25 cites eq. (49) as a lemma": by("lemma-25-citation"),
    "Lemma 26 and eqs. (58) and (59)": by("lemma-26"),
    "Appendix C.3, the start in the proof of Lemma 26": by("lemma-26-start"),
    "Appendix C.3, E tr(Lambda^2 Theta Theta')": by("lemma-26-trace"),
    "Lemma 27 and eq. (60)": by("lemma-27"),
    "Appendix C.3, the proof of Lemma 27 cites Lemma 29 for Lemma 32": by("lemma-27-citation"),
    "Lemma 28 and eqs. (61) to (63)": by("lemma-28"),
    "Appendix C.3, the square of the gradient": by("appendix-c-gradient"),
    "Eq. (64)": by("eq-64"),
    "Eq. (65)": by("eq-64"),
    # Appendix D
    "Lemma 29": by("lemma-29"),
    "Lemma 30": by("lemma-30"),
    "Lemma 31": by("lemma-31"),
    "Lemma 32": by("lemma-32"),
    # Appendix E
    "Appendix E, how the networks of Figure 1 are trained": because(_EXPERIMENT),
}
