"""How fast and how right batch EM is, beside R's flexmix, and at the paper's largest size.

    .venv/bin/python benchmarks/em.py [--json]

flexmix (with a driver for a known noise level, `flexmix.R`) and ours begin at the same
responsibilities and make as many iterations on the same data, each on one thread, in seconds of
processor time, reading of data and starting of R excluded. Then both go on until ours moves by no
more than 1e-11, and are compared. The noise is strong: prompts stay undecided. Then an iteration on
60,000 prompts of 60 examples, d = m = 20. The ratio has a limit for prompts of 20 examples and
more, and none for those of one or two, where a triangle saves nothing; the fixed point has its
limit everywhere. Without R or flexmix (Debian: r-cran-flexmix) that part is skipped, and a line
says so. Exit code 1 if a limit is missed.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from simulations.baselines import BatchEM, random_start
from theory import PromptBatch, RegressionMixture
from theory.em import PromptStatistics, expectation_step, maximisation_step

#: The least ratio of flexmix's time to ours, and the examples of a prompt from which it counts.
RATIO, LONG = 20.0, 20

#: The largest difference of components and weights at the fixed point.
DIFFERENCE = 1e-8

#: Seconds that an iteration at the largest size may take.
SECONDS = 0.5

#: Iterations that are timed, and the move of an iteration that counts as none.
TIMED, FIXED = 20, 1e-11

DRIVER = Path(__file__).with_name("flexmix.R")


@dataclass(frozen=True)
class Size:
    """n prompts of k examples in dimension d, from m components with noise sigma."""

    n: int
    k: int
    d: int
    m: int
    sigma: float

    def __str__(self) -> str:
        """Read as the first column of the table."""
        return f"n={self.n} k={self.k} d={self.d} m={self.m} sigma={self.sigma:g}"

    def draw(self, seed: int = 0) -> PromptBatch:
        """Draw the prompts."""
        mixture = RegressionMixture.random(self.m, self.d, self.sigma, np.random.default_rng(seed))
        return mixture.sample_prompts(self.n, self.k, np.random.default_rng(seed + 1))


@dataclass(frozen=True)
class Found:
    """What some iterations took, and where they ended."""

    seconds: float
    iterations: int
    components: np.ndarray
    weights: np.ndarray
    log_likelihood: float


@dataclass(frozen=True)
class Comparison:
    """Ours beside flexmix; a `least_ratio` of None is no limit."""

    size: str
    least_ratio: float | None
    ours: float
    flexmix: float
    iterations: int
    difference: float
    likelihood_difference: float

    @property
    def ratio(self) -> float:
        """Theirs to ours."""
        return self.flexmix / self.ours

    @property
    def passes(self) -> bool:
        """Whether its limits are met."""
        return self.ratio >= (self.least_ratio or 0) and self.difference <= DIFFERENCE

    def __str__(self) -> str:
        """Read as a line of the report."""
        limit = f" ({self.least_ratio:g})" if self.least_ratio else ""
        return (
            f"{self.size}: {TIMED} iterations in {1e3 * self.ours:.0f} ms, flexmix"
            f" {1e3 * self.flexmix:.0f} ms, ratio {self.ratio:.0f}{limit}; fixed points,"
            f" after {self.iterations} iterations,"
            f" {self.difference:.1e} apart ({DIFFERENCE:g}), likelihoods"
            f" {self.likelihood_difference:.1e} relatively"
        )


def start_of(prompts: PromptBatch, size: Size) -> RegressionMixture:
    """Return the start of both."""
    rng = np.random.default_rng(7)
    return random_start(PromptStatistics(prompts), size.m, size.sigma, rng)


def ours(
    prompts: PromptBatch, size: Size, start: RegressionMixture, iterations: int, tol: float = 0.0
) -> Found:
    """Fit with `BatchEM`, the statistics of the prompts included."""
    em = BatchEM(size.m, size.sigma, start=lambda *_: start, max_iter=iterations, tol=tol)
    began = time.process_time()
    em.fit(prompts)
    seconds = time.process_time() - began
    last = float(em.log_likelihoods_[-1])
    return Found(seconds, em.n_iter_, em.components_, em.weights_, last)


def flexmix(prompts: PromptBatch, size: Size, start: RegressionMixture, iterations: int) -> Found:
    """Fit with flexmix, from the responsibilities of the same start."""
    gamma = expectation_step(PromptStatistics(prompts), start).responsibilities
    with tempfile.TemporaryDirectory() as folder:
        for name, array in (("xs", prompts.examples), ("ys", prompts.ys), ("start", gamma)):
            np.ascontiguousarray(array).tofile(Path(folder) / name)
        given = (size.n, size.k, size.d, size.m, size.sigma, iterations)
        subprocess.run(["Rscript", str(DRIVER), folder, *map(str, given)], check=True)
        seconds, made, likelihood, *rest = np.fromfile(Path(folder) / "found").tolist()
    components = np.reshape(rest[size.m :], (size.m, size.d))
    return Found(seconds, int(made), components, np.array(rest[: size.m]), likelihood)


def compare(size: Size) -> Comparison:
    """Time `TIMED` iterations of both, ours the median of three; then compare fixed points."""
    prompts = size.draw()
    start = start_of(prompts, size)
    ours(prompts, size, start, 1)  # warms up
    timed = [ours(prompts, size, start, TIMED) for _ in range(3)]
    theirs = flexmix(prompts, size, start, TIMED)
    if {found.iterations for found in (*timed, theirs)} != {TIMED}:
        raise AssertionError(f"{size}: one of the two stopped before {TIMED} iterations")
    mine = ours(prompts, size, start, 10_000, FIXED)
    other = flexmix(prompts, size, start, mine.iterations)
    apart = np.append(mine.components - other.components, mine.weights - other.weights)
    return Comparison(
        str(size),
        RATIO if size.k >= LONG else None,
        statistics.median(found.seconds for found in timed),
        theirs.seconds,
        mine.iterations,
        float(np.max(np.abs(apart))),
        abs(mine.log_likelihood - other.log_likelihood) / abs(mine.log_likelihood),
    )


@dataclass(frozen=True)
class Iteration:
    """What an iteration takes at the largest size: the median of some, and the statistics."""

    size: str
    statistics: float
    seconds: float

    @property
    def passes(self) -> bool:
        """Whether the limit is met."""
        return self.seconds < SECONDS


def iteration(size: Size, repetitions: int = 5) -> Iteration:
    """Time the two steps."""
    prompts = size.draw()
    began = time.process_time()
    held = PromptStatistics(prompts)
    prepared = time.process_time() - began
    mixture = RegressionMixture.random(size.m, size.d, size.sigma, np.random.default_rng(2))
    times = []
    for _ in range(repetitions):
        began = time.process_time()
        gamma = expectation_step(held, mixture).responsibilities
        mixture = maximisation_step(held, gamma, size.sigma)
        times.append(time.process_time() - began)
    return Iteration(str(size), prepared, statistics.median(times))


def missing() -> str:
    """Say what keeps flexmix from running; empty if nothing does."""
    if shutil.which("Rscript") is None:
        return "there is no Rscript"
    call = ["Rscript", "-e", "quit(status = !requireNamespace('flexmix', quietly = TRUE))"]
    done = subprocess.run(call, capture_output=True, check=False)
    return "R has no package flexmix" if done.returncode else ""


SIZES = (
    Size(1000, 1, 5, 3, 1.0),
    Size(10_000, 1, 5, 3, 1.0),
    Size(2000, 2, 5, 5, 1.0),
    Size(1000, 20, 5, 5, 4.0),
    Size(2000, 30, 10, 5, 6.0),
    Size(1000, 60, 20, 5, 13.0),
)
LARGEST = Size(60_000, 60, 20, 20, 1.0)


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description="Batch EM, beside R's flexmix.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    skipped = missing()
    rows = [] if skipped else [compare(size) for size in SIZES]
    largest = iteration(LARGEST)
    passes = largest.passes and all(row.passes for row in rows)
    if as_json:
        compared = [asdict(row) | {"ratio": row.ratio} for row in rows]
        data = {"skipped": skipped, "flexmix": compared, "iteration": asdict(largest)}
        print(json.dumps({"passes": passes, "results": data}, indent=2))
    else:
        if skipped:
            print(f"flexmix skipped: {skipped}; on Debian: apt-get install r-cran-flexmix\n")
        for row in rows:
            print(row)
        print(
            f"{largest.size}: {largest.seconds:.2f} s an iteration ({SECONDS:g}), after"
            f" {largest.statistics:.1f} s for the statistics"
        )
    sys.exit(0 if passes else 1)


if __name__ == "__main__":
    main()
