from dataclasses import replace

import numpy as np
import pytest

from papers.ledger import Evidence, Grade, Verdict
from papers.runner import UnknownStatementError, run, run_one, select
from papers.verdicts import summary
from tests.papers.toys import CRASH, drawing, toy, unchecked


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
    assert [result.statement for result in results] == items


def test_select_keeps_the_order_asked_for():
    items = [toy(name) for name in "abc"]
    assert select(items, []) == items
    assert select(items, ["toy/c", "toy/a"]) == [items[2], items[0]]


def test_select_names_every_unknown_id():
    items = [toy(name) for name in "ab"]
    with pytest.raises(UnknownStatementError) as caught:
        select(items, ["x", "toy/a", "y"])
    assert str(caught.value) == (
        "no statement x, y among the 2; without ids all are checked and listed"
    )


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("lemma-1", "toy/lemma-1"),
        ("toy/lema-1", "toy/lemma-1, toy/lemma-2"),
        ("toy", "toy/lemma-1, toy/lemma-2, toy/theorem"),
    ],
)
def test_select_names_ids_that_are_like_an_unknown_one(wanted, near):
    items = [toy(name) for name in ("lemma-1", "lemma-2", "theorem")]
    with pytest.raises(UnknownStatementError, match=rf"did you mean {near}\?"):
        select(items, [wanted])
