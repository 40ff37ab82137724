import json

import pytest

from simulations.experiments import accuracy

SIZES = [(2, 2, 2, 1.0), (2, 2, 2, 0.3)]


@pytest.fixture
def limits(monkeypatch):
    """Set the limits of a design, at small sizes."""

    def change(name: str, float64: float, float32: float = 3e-4) -> None:
        limits = {size: {"float64": float64, "float32": float32} for size in SIZES}
        design = accuracy.DESIGNS[name]
        changed = accuracy.Design(design.title, design.build, limits)
        monkeypatch.setattr(accuracy, "DESIGNS", {**accuracy.DESIGNS, name: changed})

    return change


@pytest.mark.parametrize("limit", [5e-12, 0.0])
@pytest.mark.parametrize("name", ["3", "2", "lines"])
def test_accuracy_compares_with_the_limits(limits, iclproof, name, limit):
    limits(name, limit)
    call = ("accuracy", "--num-prompts", 5, "--layers", name)
    done = iclproof(*call, "--json")
    assert (done.code, done.err) == (0 if limit else 1, "")
    data = json.loads(done.out)
    assert (data["layers"], data["passes"]) == (name, limit > 0)
    assert len(data["rows"]) == 2 * 2 * 2
    for precision, allowed in (("float64", limit), ("float32", 3e-4)):
        rows = [row for row in data["rows"] if row["precision"] == precision]
        assert {row["limit"] for row in rows} == {allowed}
        assert data["worst"][precision] == max(row["error"] for row in rows)
        assert all(row["passes"] is (row["error"] <= allowed) for row in rows)
    table = iclproof(*call)
    assert (table.code, table.err) == (done.code, "")
    assert f"worst in float32: {data['worst']['float32']:.2e}" in table.out
    assert accuracy.DESIGNS[name].title in table.out
    # What breaks its limit is named with its size.
    broken = [line for line in table.out.splitlines() if line.startswith("above its limit 0")]
    assert len(broken) == (0 if limit else 4)
    assert all("num_components=2, num_examples=2" in line for line in broken)


def test_every_size_has_its_own_limit(limits, iclproof):
    limits("3", 5e-12)
    tight = dict(accuracy.DESIGNS["3"].limits)
    tight[SIZES[1]] = {"float64": 0.0, "float32": 3e-4}
    design = accuracy.DESIGNS["3"]
    accuracy.DESIGNS["3"] = accuracy.Design(design.title, design.build, tight)
    done = iclproof("accuracy", "--num-prompts", 5, "--json")
    assert done.code == 1
    rows = json.loads(done.out)["rows"]
    assert {row["noise_std"] for row in rows if not row["passes"]} == {0.3}


def test_an_answer_that_is_no_number_breaks_every_limit(limits, iclproof):
    limits("3", 5e-12)

    class Silent:
        def predict(self, prompts):
            return float("nan") * prompts.xs[:, -1, 0]

    design = accuracy.DESIGNS["3"]
    silent = accuracy.Design(design.title, lambda *given: Silent(), design.limits)
    accuracy.DESIGNS["3"] = silent
    done = iclproof("accuracy", "--num-prompts", 2, "--json")
    assert (done.code, done.err) == (1, "")
    data = json.loads(done.out)
    assert data["worst"] == {"float64": None, "float32": None}
    assert not any(row["passes"] for row in data["rows"])
    assert "worst in float64: inf" in iclproof("accuracy", "--num-prompts", 2).out
