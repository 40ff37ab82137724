"""`iclproof cost`."""

import json

from constructions.cost_model import DESIGNS, cost


def test_cost_prints_the_figures_of_the_model(iclproof):
    options = ("--dim", 5, "--num-components", 3, "--max-examples", 7, "--order", 4)
    done = iclproof("cost", *options, "--json")
    assert (done.code, done.err) == (0, "")
    data = json.loads(done.out)
    assert (data["dim"], data["num_components"], data["max_examples"]) == (5, 3, 7)
    expected = [cost(5, 3, 7, design=design, order=4).as_dict() for design in DESIGNS]
    assert data["designs"] == expected
    table = iclproof("cost", *options).out
    for design in expected:
        assert f"{design['parameters']:,}" in table
        assert f"{design['multiplications']:,}" in table


def test_a_prior_is_counted(iclproof):
    data = json.loads(iclproof("cost", "--prior", "--json").out)
    assert data["designs"][0]["width"] == cost(20, 20, 60, design="three layers").width + 1


def test_impossible_sizes_are_refused(iclproof):
    done = iclproof("cost", "--dim", 0, "--max-examples", 0)
    assert (done.code, done.out) == (2, "")
    assert "dim is 0" in done.err
    assert "max_examples is 0" in done.err
