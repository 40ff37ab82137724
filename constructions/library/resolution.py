"""Whether a float type is fine enough for a mixture and a box."""

import numpy as np

from constructions.box import Box
from theory import RegressionMixture

#: The rounding of a residual may be this part of sigma; a score is then off by about as much
#: times the square gadget's amplification and sqrt(k).
RESOLUTION = 1e-3

#: The rounding of a covariate may be this part of the largest.
COVARIATE_RESOLUTION = 1e-5


def check_resolution(mixture: RegressionMixture, box: Box, epsilon: float) -> None:
    """Refuse boxes that the float type rounds too coarsely for the noise or for the covariates.

    A row is read to about epsilon times its range; x and y share the token rows.

    Raises
    ------
    ValueError
        With both reasons, where both hold.
    """
    possible = mixture.components[mixture.weights > 0]
    token = max(box.covariate, box.label)
    residual = float(box.images(possible).max()) + box.label
    spread = float(np.linalg.norm(possible, axis=1).max())
    rounding = epsilon * (residual + (spread + 1) * token)
    problems = []
    if rounding > RESOLUTION * mixture.noise_std:
        problems.append(
            f"residuals up to {residual:.3g} are rounded by {rounding:.1e}, more than "
            f"{RESOLUTION:g} of noise_std = {mixture.noise_std:g}"
        )
    if epsilon * token > COVARIATE_RESOLUTION * box.covariate:
        problems.append(
            f"beside labels up to {token:.3g}, covariates up to {box.covariate:.3g} are rounded by "
            f"{epsilon * token:.1e}"
        )
    if problems:
        raise ValueError(
            f"with machine epsilon {epsilon:.1e}, {' and '.join(problems)}, and the answers would "
            "be wrong; use float64 or a smaller box, or rescale the problem"
        )
