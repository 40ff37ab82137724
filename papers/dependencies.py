"""What stands on what: the graph of statements, from what each says that it depends on."""

from collections.abc import Iterable, Mapping

from papers.description import Description


def dependents(statements: Iterable[Description]) -> Mapping[str, tuple[str, ...]]:
    """Return, by id, the ids of the statements that stand on each directly, in their order."""
    listed = list(statements)
    found: dict[str, list[str]] = {said.id: [] for said in listed}
    for said in listed:
        for name in said.depends_on:
            found.setdefault(name, []).append(said.id)
    return {name: tuple(ids) for name, ids in found.items()}


def impact(statements: Iterable[Description], root: str) -> dict[str, int]:
    """Return what stands on a statement, directly or not, by id with the number of steps to it.

    Parameters
    ----------
    statements
        All statements.
    root
        The id of one of them.

    Returns
    -------
    dict
        The nearest first; `root` is left out.
    """
    direct = dependents(statements)
    steps, front = {root: 0}, [root]
    while front:
        reached = [name for below in front for name in direct.get(below, ())]
        front = [name for name in dict.fromkeys(reached) if name not in steps]
        distance = max(steps.values()) + 1
        steps |= dict.fromkeys(front, distance)
    del steps[root]
    return steps
