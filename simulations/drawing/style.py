"""The look that all figures share: type, ink, and how a number is printed."""

from contextlib import AbstractContextManager

import matplotlib
import numpy as np

#: Ink for what matters, for what supports it, and for rules and edges in the background.
INK, MUTED, FAINT = "#1a1a1a", "#6e6e6e", "#c9c9c9"
#: Two colours that colour-blind readers can tell apart (Okabe and Ito), and grey print as well.
BLUE, VERMILION = "#0072B2", "#D55E00"
#: Three more for figures with many curves, darker than Okabe's and Ito's: thin lines need ink.
GREEN, PURPLE, ORANGE = "#009E73", "#AA4499", "#C98A00"

_SETTINGS = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 7.5,
    "axes.linewidth": 0.5,
    "axes.edgecolor": MUTED,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "iclproof",
}


def page_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws and saves in the figures' style."""
    return matplotlib.rc_context(_SETTINGS)


def number(value: float) -> str:
    r"""Print a number as mathtext with three significant digits; an exact zero as 0.

    >>> number(-0.5), number(1234.5), number(0.0000123456)
    ('$-0.500$', '$1230$', '$1.23\\!\\cdot\\!10^{-5}$')
    """
    if value == 0:
        return "$0$"
    mantissa, exponent = f"{value:.2e}".split("e")
    power = int(exponent)
    if not -3 <= power < 5:
        return rf"${mantissa}\!\cdot\!10^{{{power}}}$"
    rounded = np.round(value, 2 - power)
    return f"${rounded:.{max(2 - power, 0)}f}$"
