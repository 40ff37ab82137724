"""Values of the letters of the layer's loss in the ring of the coordinate engine."""

from typing import Any

import numpy as np

from theory.moments.coordinate import CoordinateMoments


def objects(entries: Any, shape: tuple[int, ...]) -> np.ndarray:
    """An array of ring elements, which numpy must not take apart."""
    array = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        entry = entries
        for i in place:
            entry = entry[i]
        array[place] = entry
    return array


def values(moments: CoordinateMoments, *, general: bool) -> dict[str, Any]:
    """Lambda diagonal; S = TT' and sigma with symbols if `general`, else S = I and sigma = 0."""
    d, ring = moments.dim, moments.ring
    lam = np.full((d, d), ring.zero, dtype=object)
    lam[np.diag_indices(d)] = moments.eigenvalues
    factor = objects(moments.task_factor, (d, d)) if general else np.eye(d, dtype=int)
    return {
        "Lambda": lam,
        "S": factor @ factor.T,
        "sigma": moments.noise_std if general else 0,
        "p": objects(moments.u12, (d,)),
        "q": objects(moments.u21, (d,)),
        "U": objects(moments.U11, (d, d)),
        "u": moments.u_1,
        "1/N": moments.inverse_length,
        "d": d,
    }
