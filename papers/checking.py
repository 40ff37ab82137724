"""Statements checked on all cores; what is in the store already is not checked again."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import import_module

from papers.description import Description
from papers.ledger import Tier, Verdict
from papers.runner import Result, run_one
from papers.verdict_cache import VerdictCache


def check_all(
    wanted: Sequence[Description],
    *,
    tier: Tier = "quick",
    seed: int = 0,
    jobs: int | None = None,
    cache: VerdictCache | None = None,
    on_done: Callable[[int], None] = lambda number: None,
) -> list[Result]:
    """Return the results on some statements, in their order.

    Each verdict is stored as soon as it is there, so that what a kill leaves is not done again.

    Parameters
    ----------
    wanted
        What is to be checked, each with the module that lists it.
    tier, seed
        See `papers.runner`; they, the statement and the code decide every result.
    jobs
        How many processes; by default as many as there are cores, or none but this for one
        statement. A check whose process dies is tried twice more, and then is a crash.
    cache
        Where verdicts are looked up and kept; None to check all.
    on_done
        Called with the number of statements that are done, for progress.

    Returns
    -------
    list of Result
        One for each of `wanted`. A check that crashes gives `Verdict.CRASHED`.

    Raises
    ------
    ValueError
        If `jobs` is not at least 1.
    """
    found: dict[int, Result] = {}
    for index, said in enumerate(wanted):
        if said.is_open:
            found[index] = Result(said, Verdict.OPEN, None, None, (), 0.0, said.reason)
        elif cache is not None and (stored := cache.find(said, tier, seed)) is not None:
            found[index] = stored
    on_done(len(found))
    rest = [index for index in range(len(wanted)) if index not in found]
    if rest:
        # Here: stored verdicts need no workers.
        from simulations.parallel import Done, parallel_map  # noqa: PLC0415

        calls = [(wanted[index].module, wanted[index].id, seed, tier) for index in rest]
        outcomes = parallel_map(
            check_listed, calls, jobs=1 if jobs is None and len(rest) == 1 else jobs
        )
        with closing(outcomes):
            for place, outcome in outcomes:
                said = wanted[rest[place]]
                if isinstance(outcome, Done):
                    result = replace(outcome.value, statement=said)
                else:
                    told = outcome.traceback or outcome.message
                    result = Result(said, Verdict.CRASHED, None, None, (), 0.0, told)
                found[rest[place]] = result
                if cache is not None:
                    cache.keep(result, tier, seed)
                on_done(len(found))
    return [found[index] for index in range(len(wanted))]


def check_listed(module: str, name: str, seed: int, tier: Tier) -> Result:
    """Check the statement of an id that a module lists; a function that a worker can be sent."""
    (item,) = (item for item in import_module(module).STATEMENTS if item.id == name)
    return run_one(item, seed, tier)
