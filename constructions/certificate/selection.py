"""What heads attend to: proved from constants and weights, rounding included."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float

from constructions.architecture import LayerWeights
from constructions.certificate.bounds import CertificateError
from constructions.certificate.rounding import RoundingModel


@dataclass(frozen=True)
class ConstantLogits:
    """The logits of one head between all columns of the stream, and how far off they may be.

    Parameters
    ----------
    values
        Logit of query column i for key column j, (q, q), NaN where j is not before i.
    error
        Bound on the rounding of each, (q, q).
    """

    values: Float[np.ndarray, "q q"]
    error: Float[np.ndarray, "q q"]

    def attended(self, rounding: RoundingModel) -> Bool[np.ndarray, "q q"]:
        """Return which keys can get a weight that is not exactly 0."""
        with np.errstate(invalid="ignore"):
            lowest = np.nanmax(
                np.where(np.isnan(self.values), -np.inf, self.values - self.error),
                axis=1,
                keepdims=True,
            )
            attended: npt.NDArray[np.bool_] = (
                self.values + self.error > lowest - rounding.underflow
            ) & ~np.isnan(self.values)
        return attended


def constant_logits(
    weights: LayerWeights,
    head: int,
    constants: Float[np.ndarray, "p q"],
    constant_rows: Bool[np.ndarray, " p"],
    rounding: RoundingModel,
) -> ConstantLogits:
    """Return the logits of a head that reads only constant rows.

    Parameters
    ----------
    weights, head
        The layer and the head in it.
    constants
        The stream for a blank prompt, in stored units.
    constant_rows
        Which rows are the same for every prompt.
    rounding
        The model of arithmetic.

    Raises
    ------
    CertificateError
        If the head reads another row.
    """
    query, key = (matrix[head].double().numpy() for matrix in (weights.query, weights.key))
    # A pair of query and key of which one is zero adds nothing.
    used = query.any(axis=1) & key.any(axis=1)
    query, key = query[used], key[used]
    if query[:, ~constant_rows].any() or key[:, ~constant_rows].any():
        raise CertificateError("a head that should select columns reads rows of the prompt")
    q = constants.shape[1]
    values = (query @ constants).T @ (key @ constants)
    sizes = (np.abs(query) @ np.abs(constants)).T @ (np.abs(key) @ np.abs(constants))
    terms = int((query != 0).sum() + (key != 0).sum() + len(query) + 3)
    # Twice: once for the network's arithmetic, once for the lines above, which are no worse.
    error = 2 * rounding.gamma(terms) * sizes
    hidden = ~np.tri(q, k=-1, dtype=bool)
    values[hidden] = np.nan
    return ConstantLogits(values, error)


def highest_other(
    weights: LayerWeights,
    head: int,
    constants: Float[np.ndarray, "p q"],
    constant_rows: Bool[np.ndarray, " p"],
    *,
    num_basis: int,
    targets: frozenset[int],
    rounding: RoundingModel,
) -> float:
    """Return the highest logit of a column that is not a basis column, in a head for mixtures.

    Pairs of query and key whose query reads the prompt must find nothing in other columns, and
    pairs whose query is constant nothing in basis columns: then the logits of basis columns are
    the prompt's alone, those of others constant.

    Parameters
    ----------
    weights, head, constants, constant_rows, rounding
        As for `constant_logits`.
    num_basis
        The basis columns are 1..num_basis.
    targets
        The columns (from 0) that receive the mixture.

    Raises
    ------
    CertificateError
        If pairs are mixed up, or a basis column does not carry its own unit vector.
    """
    query, key = (matrix[head].double().numpy() for matrix in (weights.query, weights.key))
    keys = key @ constants
    reads_prompt = query[:, ~constant_rows].any(axis=1)
    basis = slice(1, num_basis + 1)
    others = [c for c in range(constants.shape[1]) if not 1 <= c <= num_basis]
    if (
        key[:, ~constant_rows].any()
        or keys[reads_prompt][:, others].any()
        or keys[~reads_prompt][:, basis].any()
        or not np.array_equal(keys[reads_prompt][:, basis], np.eye(num_basis))
    ):
        raise CertificateError(f"head {head + 1}: keys are not one unit vector for each component")
    fixed = query[~reads_prompt]
    logits = (fixed @ constants).T @ keys[~reads_prompt]
    sizes = (np.abs(fixed) @ np.abs(constants)).T @ np.abs(keys[~reads_prompt])
    error = 2 * rounding.gamma(int((fixed != 0).sum()) + len(fixed) + 3) * sizes
    receiving = sorted(targets)
    return float((logits + error)[receiving][:, others].max())
