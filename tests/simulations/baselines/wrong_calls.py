"""Calls of the estimators that must fail, and what must be said of each.

Run as a program, it makes them as a user would, without the types that are enforced in tests, and
prints as JSON what was raised.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from simulations.baselines import (
    BatchEM,
    GroupedExamples,
    SubspaceAlgorithm,
    SubspaceClustering,
    spread_start,
)
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics

ESTIMATORS = (BatchEM, SubspaceAlgorithm, SubspaceClustering)


class Wrong(NamedTuple):
    """A call, and the error: its type, and parts of its message."""

    call: Callable[[], object]
    error: str
    parts: tuple[str, ...]


def draw(m: int, d: int) -> tuple[PromptBatch, GroupedExamples]:
    """Draw prompts, and write them as a table."""
    rng = np.random.default_rng(0)
    prompts = RegressionMixture.random(m, d, 0.5, rng).sample_prompts(60, 12, rng)
    rows = prompts.examples.reshape(-1, d)
    return prompts, GroupedExamples(rows, prompts.ys.ravel(), np.repeat(np.arange(60), 12))


PROMPTS, TABLE = draw(2, 3)
OTHER_PROMPTS, OTHER_TABLE = draw(2, 2)
ARRAY = np.ones((5, 3))
NAMED = GroupedExamples(ARRAY, np.ones(5), list("abcab"))


def calls(estimator: object, method: str, data: object) -> Callable[[], object]:
    """Return the call, to be made later."""
    return lambda: getattr(estimator, method)(data)


def before_and_after_fit() -> dict[str, Wrong]:
    """Give data of the wrong kind to all three."""
    found = {}
    for kind in ESTIMATORS:
        name, fitted = kind.__name__, kind(2, 0.5).fit(PROMPTS)
        shape = "was given ndarray of shape (5, 3); expected a theory.PromptBatch(xs, ys)"
        of_rows = "call predict_rows(xs, groups, given)" if kind is BatchEM else "queries"
        found[f"{name} fit array"] = Wrong(
            calls(kind(2, 0.5), "fit", ARRAY), "TypeError", (f"{name}.fit {shape}",)
        )
        for method in ("predict", "predict_all_prefixes"):
            where = f"{name}.{method}"
            wrong = {
                "table": (TABLE, "TypeError", f"{where} was given GroupedExamples; expected a th"),
                "array": (ARRAY, "TypeError", f"{where} {shape}"),
                "dimension": (OTHER_PROMPTS, "ValueError", "d = 2 and the components 3; expected"),
            }
            for what, (given, error, part) in wrong.items():
                told = (where, part, of_rows) if error == "TypeError" else (where, part)
                found[f"{where} {what}"] = Wrong(calls(fitted, method, given), error, told)
            found[f"{where} before fit"] = Wrong(
                calls(kind(2, 0.5), method, PROMPTS),
                "NotFittedError",
                (f"this {name} is not fitted: call fit",),
            )
    return found


def tables() -> dict[str, Wrong]:
    """Give data of the wrong kind where tables are expected, or are not."""
    em = BatchEM(2, 0.5, start=spread_start).fit(PROMPTS)
    found = {
        "fit None": Wrong(calls(BatchEM(2, 0.5), "fit", None), "TypeError", ("given None",)),
        "score array": Wrong(
            calls(em, "score", ARRAY), "TypeError", ("BatchEM.score was given ndarray of shape",)
        ),
        "given array": Wrong(
            lambda: em.predict_rows(ARRAY, range(5), ARRAY),
            "TypeError",
            ("BatchEM.predict_rows was given ndarray", "GroupedExamples(xs, ys, groups)"),
        ),
        "given prompts": Wrong(
            lambda: em.predict_rows(ARRAY, range(5), PROMPTS), "TypeError", ("given PromptBatch",)
        ),
        "predict statistics": Wrong(
            calls(em, "predict", PromptStatistics(PROMPTS)), "TypeError", ("PromptStatistics",)
        ),
    }
    for kind in (SubspaceAlgorithm, SubspaceClustering):
        for what in (TABLE, PromptStatistics(PROMPTS)):
            found[f"{kind.__name__} fit {type(what).__name__}"] = Wrong(
                calls(kind(2, 0.5), "fit", what),
                "TypeError",
                (f"given {type(what).__name__}", "for groups of any sizes there is BatchEM"),
            )
    for method in ("responsibilities", "score", "bic"):
        found[f"{method} dimension"] = Wrong(
            calls(em, method, OTHER_TABLE),
            "ValueError",
            (f"BatchEM.{method}: ", "d = 2 and the components 3", "an intercept is one"),
        )
        found[f"{method} before fit"] = Wrong(
            calls(BatchEM(2, 0.5), method, TABLE), "NotFittedError", ("this BatchEM is not",)
        )
    return found


def rows() -> dict[str, Wrong]:
    """Give rows that are none."""
    em = BatchEM(2, 0.5, start=spread_start).fit(TABLE)
    said = "BatchEM.predict_rows: "
    wrong = {
        "scalar": ((3.0, [1], TABLE), ("xs has shape ()",)),
        "ragged": (([[1.0], [1.0, 2.0]], [1, 2], TABLE), ("xs is not a rectangular array",)),
        "dimension": ((ARRAY[:, :2], range(5), TABLE), ("the rows have dimension d = 2",)),
        "given dimension": ((ARRAY, range(5), OTHER_TABLE), ("dimension d = 2",)),
        "text for integers": (
            (ARRAY, list("12345"), TABLE),
            ("named like '1' (str)", "like 0 (int)", "convert one"),
        ),
        "integers for text": (
            (ARRAY, range(5), NAMED),
            ("named like 0 (int)", "like 'a' (str)", "names from CSV are text"),
        ),
    }
    return {
        f"rows {name}": Wrong(
            lambda given=given: em.predict_rows(*given), "ValueError", (said, *parts)
        )
        for name, (given, parts) in wrong.items()
    }


def parameters() -> dict[str, Wrong]:
    """Give parameters of the wrong kind."""
    mixture = RegressionMixture.random(2, 3, 0.5, np.random.default_rng(0))
    integer, text = "expected an integer >= 1", ", which is text; expected a number"
    function = "expected random_start, spread_start or a function of (statistics, n_components"
    own = "`lambda *_: RegressionMixture(components, noise_std)`"
    wrong = [
        *((kind, "n_components", value, integer) for kind in ESTIMATORS for value in ("3", 3.0)),
        *((kind, "n_components", True, integer) for kind in ESTIMATORS),
        *((kind, "noise_std", "0.5", text) for kind in ESTIMATORS),
        *((kind, "random_state", "a", "expected an integer >= 0") for kind in ESTIMATORS),
        *((kind, "random_state", -1, "expected an integer >= 0") for kind in ESTIMATORS),
        (BatchEM, "tol", "0.1", text),
        (BatchEM, "n_init", "5", integer),
        (BatchEM, "max_iter", 10.0, integer),
        (BatchEM, "on_iteration", 3, "expected a function, or None"),
        (BatchEM, "start", "spread", "import spread_start, and give that without quotes"),
        (BatchEM, "start", "spread", function),
        (BatchEM, "start", "kmeans", own),
        (BatchEM, "start", ARRAY, own),
        (BatchEM, "start", mixture, own),
        (SubspaceAlgorithm, "threshold", "0.5", text),
        (SubspaceAlgorithm, "step", "0.5", text),
        (SubspaceAlgorithm, "n_anchors", 9.5, "expected an integer >= 2"),
        (SubspaceAlgorithm, "n_rounds", True, integer),
        (SubspaceAlgorithm, "on_anchor", 3, "expected a function, or None"),
        (SubspaceClustering, "n_clustered", 600.0, "expected an integer >= 2"),
    ]
    return {
        f"{kind.__name__} {name} {at}": Wrong(
            lambda kind=kind, name=name, value=value: kind(
                **{"n_components": 2, "noise_std": 0.5, name: value}
            ).fit(PROMPTS),
            "ValueError",
            (f"{kind.__name__}: 1 problem", f"{name} is {shown(value)}", part),
        )
        for at, (kind, name, value, part) in enumerate(wrong)
    }


def shown(value: object) -> str:
    """Write a value as messages do."""
    kinds = {np.ndarray: "ndarray of shape (5, 3);", RegressionMixture: "RegressionMixture;"}
    return kinds.get(type(value), repr(value))


def starts() -> dict[str, Wrong]:
    """Give functions that are no starts."""
    fewer = RegressionMixture.random(1, 3, 0.5, np.random.default_rng(0))
    flat = RegressionMixture.random(2, 2, 0.5, np.random.default_rng(0))
    wrong = {
        "no arguments": (lambda: fewer, "ValueError", "start cannot be called with four arguments"),
        "an array": (lambda *_: ARRAY, "TypeError", "start returned ndarray of shape (5, 3)"),
        "another m": (lambda *_: fewer, "ValueError", "m = 1 and d = 3; expected m = 2"),
        "another d": (lambda *_: flat, "ValueError", "m = 2 and d = 2; expected m = 2, as"),
    }
    return {
        f"start of {name}": Wrong(
            lambda start=start: BatchEM(2, 0.5, start=start).fit(PROMPTS), error, (part,)
        )
        for name, (start, error, part) in wrong.items()
    }


def cases() -> dict[str, Wrong]:
    """Return all of them by name."""
    return before_and_after_fit() | tables() | rows() | parameters() | starts()


def main() -> None:
    """Make the calls, and print what each raised."""
    raised = {}
    for name, wrong in cases().items():
        try:
            wrong.call()
            raised[name] = ("nothing", "")
        except Exception as error:
            raised[name] = (type(error).__name__, str(error))
    print(json.dumps(raised))


if __name__ == "__main__":
    main()
