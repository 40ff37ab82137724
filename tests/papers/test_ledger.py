import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from papers import false_alarms
from papers.description import describe
from papers.false_alarms import FULL_ROUNDS, largest_z, sampled_level
from papers.ledger import Evidence, Grade, Verdict
from papers.runner import UnknownStatementError, run, run_one, select
from papers.verdicts import summary
from tests.papers.toys import CRASH, drawing, evidence, toy, unchecked


def test_a_refutation_without_a_counterexample_is_refused():
    with pytest.raises(ValueError, match="counterexample"):
        Evidence(False, Grade.PROVED, "left against right", "everywhere")
    assert Evidence(True, Grade.PROVED, "left against right", "everywhere").counterexample == ""


def test_a_statement_without_mutants_is_refused():
    with pytest.raises(ValueError, match=r"'toy/a' has no mutants"):
        toy(mutants=())


def test_the_grades_are_those_of_the_design_strongest_first():
    assert [str(grade) for grade in Grade] == [
        "proved",
        "certified",
        "confirmed",
        "sampled",
        "trained",
    ]
    meanings = [grade.meaning for grade in Grade]
    assert all(meanings)
    assert len(set(meanings)) == len(Grade)


def test_only_holding_corrected_and_open_statements_pass():
    passing = {verdict for verdict in Verdict if verdict.passes}
    assert passing == {Verdict.HOLDS, Verdict.BEYOND, Verdict.CORRECTED, Verdict.OPEN}


VERDICTS = {
    Verdict.HOLDS: toy(),
    Verdict.BEYOND: toy(beyond=True),
    Verdict.CORRECTED: toy(printed=5, corrected=1),
    Verdict.FAILS: toy(printed=5),
    Verdict.IDLE: toy(printed=1, corrected=1),
    Verdict.MUTANT_LIVES: toy(mutants=(2, 1)),
    Verdict.CRASHED: toy(printed=CRASH),
    Verdict.OPEN: unchecked(),
}


@pytest.mark.parametrize("verdict", VERDICTS, ids=[verdict.name for verdict in VERDICTS])
def test_every_verdict_is_reached(verdict):
    result = run_one(VERDICTS[verdict], 0)
    assert result.verdict is verdict
    graded = {Verdict.HOLDS, Verdict.BEYOND, Verdict.CORRECTED}
    assert (result.grade is not None) == (verdict in graded)
    shown = result.as_dict()
    assert shown["verdict"] == str(verdict)
    assert shown["passes"] == verdict.passes
    assert verdict.passes or "FAILED" in summary([result])


@pytest.mark.parametrize(
    ("item", "verdict"),
    [
        (toy(printed=5, corrected=5), Verdict.FAILS),
        (toy(printed=1, corrected=5), Verdict.FAILS),
        (toy(printed=5, mutants=(1,)), Verdict.FAILS),
        (toy(printed=5, beyond=True), Verdict.FAILS),
        (toy(mutants=(1,), beyond=True), Verdict.MUTANT_LIVES),
        (toy(printed=1, corrected=CRASH), Verdict.CRASHED),
        (toy(printed=CRASH, corrected=1), Verdict.CRASHED),
        (toy(printed=5, corrected=1, mutants=(2, 1)), Verdict.MUTANT_LIVES),
        (toy(printed=1, corrected=1, mutants=(1,)), Verdict.IDLE),
        (toy(mutants=(CRASH,)), Verdict.MUTANT_LIVES),
        (toy(printed=5, corrected=1, mutants=(2, CRASH)), Verdict.MUTANT_LIVES),
    ],
)
def test_verdicts_of_mixed_findings(item, verdict):
    assert run_one(item, 0).verdict is verdict


def test_a_crash_is_a_failure_with_its_traceback():
    result = run_one(toy(printed=CRASH), 0)
    assert not result.verdict.passes
    assert "RuntimeError: the check broke" in result.error
    assert result.printed is None
    assert "the check broke" in summary([result])


def test_a_mutant_on_which_the_check_crashes_is_not_killed():
    result = run_one(toy(mutants=(2, CRASH)), 0)
    assert [mutant.killed for mutant in result.mutants] == [True, False]
    assert "the check broke" in result.mutants[1].reason
    assert "mutant 'mutant 1' lives" in summary([result])


def test_killed_mutants_say_why():
    result = run_one(toy(), 0)
    assert [(mutant.name, mutant.reason) for mutant in result.mutants] == [
        ("mutant 0", "2.0 is not 1"),
        ("mutant 1", "3.0 is not 1"),
    ]


def test_an_open_statement_tells_its_reason():
    shown = run_one(VERDICTS[Verdict.OPEN], 0).as_dict()
    assert (shown["verdict"], shown["error"]) == ("open", "nobody has tried")
    assert shown["evidence"] == {"as printed": None, "as corrected": None}


def test_a_keyboard_interrupt_is_not_swallowed():
    def interrupted(claim: object, rng: np.random.Generator) -> Evidence:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_one(replace(toy(), check=interrupted), 0)


def drawn(results) -> dict[str, float]:
    return {result.statement.id: result.printed.measured for result in results}


def test_random_numbers_depend_on_seed_and_id_alone():
    items = [drawing(name) for name in ("p/a", "p/b", "p/c")]
    every = drawn(run(items, 7))
    assert len(set(every.values())) == 3
    assert drawn(run(reversed(items), 7)) == every
    assert drawn(run(items[1:2], 7)) == {"p/b": every["p/b"]}
    assert drawn(run([drawing("p/b")], 7)) == {"p/b": every["p/b"]}
    assert not set(drawn(run(items, 8)).values()) & set(every.values())


def test_every_claim_of_a_statement_sees_the_same_random_numbers():
    result = run_one(drawing("p/a"), 3)
    assert result.mutants[0].reason == f"{result.printed.measured} is not 1"


def test_progress_is_reported_in_order():
    seen = []
    items = [toy(name) for name in "cab"]
    results = run(items, 0, seen.append)
    assert seen == results
    assert [result.statement for result in results] == [describe(item) for item in items]


def test_select_keeps_the_order_asked_for():
    items = [toy(name) for name in "abc"]
    assert select(items, []) == items
    assert select(items, ["toy/c", "toy/a", "toy/c"]) == [items[2], items[0]]


def test_select_names_every_unknown_id():
    items = [toy(name) for name in "ab"]
    with pytest.raises(UnknownStatementError) as caught:
        select(items, ["x", "toy/a", "y"])
    assert str(caught.value) == ("no statement x, y among the 2; iclproof list shows them all")


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("lemma-1", "toy/lemma-1"),
        ("toy/lema-1", "toy/lemma-1, toy/lemma-2"),
        ("toy/Lemma-1", "toy/lemma-1"),
        ("eore", "toy/theorem"),
    ],
)
def test_select_names_ids_that_are_like_an_unknown_one(wanted, near):
    items = [toy(name) for name in ("lemma-1", "lemma-2", "theorem")]
    with pytest.raises(UnknownStatementError, match=rf"did you mean {near}\?"):
        select(items, [wanted])


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("toy", "--paper toy takes all of that paper"),
        ("other/lemma-1", "those listed are of toy: was --paper meant for another"),
    ],
)
def test_select_says_what_else_to_do(wanted, told):
    with pytest.raises(UnknownStatementError, match=told):
        select([toy("lemma-1")], [wanted])


# Tiers


def counted(draws: bool, answer=lambda claim, draw: claim == 1) -> tuple[list[object], object]:
    """A toy whose check notes what it drew, for the claim as printed."""
    seen = []

    def check(claim: object, rng: np.random.Generator) -> Evidence:
        draw = rng.random() if draws else 0.0
        if claim == 1:
            seen.append(draw)
        return evidence(answer(claim, draw), draw)

    return seen, replace(toy(), check=check)


def test_the_full_tier_runs_a_check_that_draws_with_several_seeds():
    seen, item = counted(draws=True)
    result = run_one(item, 3, "full")
    assert result.verdict is Verdict.HOLDS
    assert len(set(seen)) == FULL_ROUNDS == 5
    # The one that is nearest to the limit is told.
    assert result.printed.measured == max(seen)
    assert (
        result.printed.scope == f"here; seed {1 + seen.index(max(seen))} of the 5 that were tried"
    )
    quick, item = counted(draws=True)
    assert "seed" not in run_one(item, 3).printed.scope
    assert quick == seen[:1]


def test_the_full_tier_runs_a_check_that_does_not_draw_once():
    seen, item = counted(draws=False)
    result = run_one(item, 3, "full")
    assert (len(seen), result.printed.scope) == (1, "here")


def test_a_check_that_spawns_generators_is_taken_for_one_that_draws():
    seen = []

    def check(claim: object, rng: np.random.Generator) -> Evidence:
        seen.append(rng.spawn(1)[0].random())
        return evidence(claim == 1)

    run_one(replace(toy(), check=check), 0, "full")
    assert len(set(seen)) == FULL_ROUNDS


def test_one_bad_seed_of_the_full_tier_is_a_failure():
    seen, item = counted(draws=True)
    run_one(item, 3, "full")
    _, item = counted(draws=True, answer=lambda claim, draw: claim == 1 and draw != seen[2])
    result = run_one(item, 3, "full")
    assert result.verdict is Verdict.FAILS
    assert result.printed.scope == "here; seed 3 of the 3 that were tried"
    assert run_one(item, 3).verdict is Verdict.HOLDS


def test_a_check_of_wider_scope_is_that_of_the_full_tier():
    wide = replace(toy(), full=lambda claim, rng: replace(evidence(claim == 1), scope="everywhere"))
    assert run_one(wide, 0, "full").printed.scope == "everywhere"
    assert run_one(wide, 0).printed.scope == "here"
    blind = replace(toy(), full=lambda claim, rng: evidence(True))
    assert run_one(blind, 0, "full").verdict is Verdict.MUTANT_LIVES
    assert run_one(blind, 0).verdict is Verdict.HOLDS
    assert run(iter([blind]), 0, tier="full")[0].verdict is Verdict.MUTANT_LIVES


# False alarms


def test_a_whole_run_raises_a_false_alarm_for_less_than_one_of_1000_seeds():
    total = false_alarms.MOST_SAMPLED * FULL_ROUNDS * sampled_level()
    assert total == pytest.approx(1 / 1000)
    for comparisons in (1, 7, 100):
        assert comparisons * sampled_level(comparisons) == pytest.approx(sampled_level())
        # The oracle: the tail of a normal.
        tail = math.erfc(largest_z(comparisons) / math.sqrt(2))
        assert tail == pytest.approx(sampled_level(comparisons), rel=1e-9)
    with pytest.raises(ValueError, match="comparisons is 0, expected at least 1"):
        largest_z(0)


def test_there_are_not_more_sampled_statements_than_the_level_is_for():
    files = (Path(__file__).parents[2] / "papers").rglob("*.py")
    places = sum(file.read_text().count("Grade.SAMPLED,") for file in files)
    assert 5 < places <= false_alarms.MOST_SAMPLED


def test_figures_that_are_not_finite_are_null_in_json():
    def check(claim: object, rng: np.random.Generator) -> Evidence:
        return evidence(claim == 1, np.inf if claim == 2 else np.nan)

    shown = run_one(replace(toy(), check=check), 0).as_dict()
    assert shown["evidence"]["as printed"]["measured"] is None
