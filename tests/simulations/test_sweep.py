import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulations.experiments import catalogue
from simulations.experiments.experiment import Experiment
from simulations.runs import Runs
from simulations.store import Store
from simulations.sweep import MOST_POINTS, read_sweep
from tests.simulations.runs.toys import WALK, Walk, gather, walk, walkers
from theory.validation import Problems


@dataclass(frozen=True)
class Boots:
    size: int = 40
    colour: str = "black"

    def __post_init__(self) -> None:
        problems = Problems("Boots")
        problems.count("size", self.size, 40 if self.colour == "hard" else 30)
        problems.raise_if_any()


@dataclass(frozen=True)
class Hike:
    boots: Boots
    stops: tuple[int, ...] = ()
    seed: int = 0


HARD = Hike(Boots(colour="hard"))

HIKE = Experiment("toy-hike", "Hikes", "nowhere", Hike, walkers, walk, gather, presets={})


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    known = {toy.name: toy for toy in (WALK, HIKE)}
    monkeypatch.setattr(catalogue, "experiments", lambda: known)


@pytest.fixture
def written(tmp_path):
    def write(text: str, name: str = "sweep.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def configs(path: Path) -> list[object]:
    return [point.config for point in read_sweep(path)]


# What a file means

GRID = """
experiment = "toy-walk"
[base]
steps = 7
[grid]
scale = [2, 0.5]
seed = [0, 1, 2]
"""


def test_a_grid_is_every_combination_in_the_order_of_the_file(written):
    points = read_sweep(written(GRID))
    wanted = [(scale, seed) for scale in (2.0, 0.5) for seed in (0, 1, 2)]
    assert [point.config for point in points] == [
        Walk(steps=7, scale=scale, seed=seed) for scale, seed in wanted
    ]
    assert [tuple(point.varied.values()) for point in points] == wanted
    assert {point.experiment.name for point in points} == {"toy-walk"}
    assert list(points[0].varied) == ["scale", "seed"]


def test_json_and_toml_mean_the_same(written):
    document = {
        "experiment": "toy-walk",
        "base": {"steps": 7},
        "grid": {"scale": [2, 0.5], "seed": [0, 1, 2]},
    }
    assert configs(written(json.dumps(document), "sweep.json")) == configs(written(GRID))


def test_a_preset_is_what_a_sweep_begins_with(written):
    text = 'experiment = "toy-walk"\npreset = "smoke"\nlabel = "long"\ngrid.seed = [3, 4]'
    assert configs(written(text)) == [Walk(steps=60, seed=3), Walk(steps=60, seed=4)]


def test_without_a_label_it_begins_with_every_config_of_the_preset(written):
    points = read_sweep(written('experiment = "toy-walk"\npreset = "smoke"\ngrid.seed = [3, 4]'))
    assert [point.config for point in points] == [
        *(Walk(seed=3), Walk(seed=4)),
        *(Walk(steps=60, seed=3), Walk(steps=60, seed=4)),
    ]
    assert points[2].varied == {"label": "long", "seed": 3}
    (only,) = read_sweep(written('experiment = "toy-walk"\npreset = "laptop"'))
    assert (only.config, only.varied) == (Walk(2), {})


def test_fields_of_nested_configs_are_reached_by_dots(written):
    text = """
    experiment = "toy-hike"
    base.boots.colour = "red"
    [grid]
    boots.size = [41, 42]
    "seed" = [5]
    stops = [[], [1, 2]]
    """
    assert configs(written(text)) == [
        Hike(Boots(size, "red"), stops, 5) for size in (41, 42) for stops in ((), (1, 2))
    ]


def test_a_file_may_hold_several_sweeps(written):
    text = """
    [[sweep]]
    experiment = "toy-walk"
    grid.seed = [1, 2]
    [[sweep]]
    experiment = "toy-hike"
    base.boots = {size = 44, colour = "red"}
    """
    assert configs(written(text)) == [Walk(seed=1), Walk(seed=2), Hike(Boots(44, "red"))]


# What is wrong with a file

WALKS = 'experiment = "toy-walk"\n'


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["experiment is None; expected its name, as text"]),
        ('experiment = "toy-wlak"', ["no experiment 'toy-wlak': did you mean 'toy-walk'?"]),
        (WALKS + "gird.seed = [1]", ["there is no key 'gird': did you mean 'grid'?"]),
        (WALKS + "zzz = 1", ["no key 'zzz': expected experiment, preset, label, base, grid"]),
        (WALKS + "grid.sede = [1, 2]", ["there is no field 'sede': did you mean 'seed'?"]),
        (WALKS + "grid.seed = []", ["[grid] seed is an empty list; expected one value or more"]),
        (WALKS + "[grid]", ["[grid] is empty; leave it out, or give it keys"]),
        (WALKS + "grid = 3", ["grid is 3; expected a table"]),
        (WALKS + "grid.seed = 3", ["[grid] seed is 3; expected a list of values"]),
        (WALKS + "grid.seed = [3, 1, 3]", ["[grid] seed has the value 3 2 times"]),
        (WALKS + "grid.seed = [1]\nbase.seed = 1", ["seed is in [base] and in [grid]"]),
        (WALKS + "grid.scale = [1, 1.0]", ["has one config twice: at scale=1 and at scale=1.0"]),
        (WALKS + 'preset = "huge"', ["preset is 'huge'; toy-walk has smoke, laptop"]),
        (WALKS + "preset = [1]", ["preset is [1]; toy-walk has smoke, laptop"]),
        (
            'experiment = "toy-hike"\npreset = "smoke"',
            ["toy-hike has none: give all fields in", "the field 'boots' is missing"],
        ),
        (WALKS + 'label = "x"', ["label is 'x' without a preset; name the preset, too"]),
        (WALKS + 'preset = "smoke"\nlabel = 3', ["label is 3; the preset smoke of toy-walk has"]),
        (WALKS + "grid.seed.x = [1]", ["seed is {'x': 1}; expected an integer"]),
        (
            WALKS + 'preset = "laptop"\ngrid.seed.x = [1]',
            ["'x' in 'seed.x' is no nested field: seed is 0; set seed itself"],
        ),
        (
            'experiment = "toy-hike"\nbase.boots.size = 41\nbase.stops = [1]\ngrid.stops.1 = [2]',
            ["'1' in 'stops.1' is no entry of the list stops, which is [1]; expected an index"],
        ),
        ("sweep = 3", ["sweep is no list of tables; write each one as [[sweep]]"]),
        ("sweep = [3]", ["sweep[0]: expected a table, got 3"]),
        (WALKS + "[[sweep]]\n" + WALKS, ["experiment stands beside [[sweep]]"]),
        (
            "[[sweep]]\n" + WALKS + "[[sweep]]\nx = 1",
            ["sweep[1]: there is no key 'x'", "sweep[1]: "],
        ),
        ("[[sweep]]\n" + WALKS + "[[sweep]]\n" + WALKS, ["one config twice: at base and at base"]),
        ('experiment = "toy-hike"', ["the field 'boots' is missing"]),
    ],
)
def test_problems_are_named(written, text, problems):
    path = written(text)
    with pytest.raises(ValueError, match=rf"^{path}: invalid sweep:\n") as caught:
        read_sweep(path)
    listed = str(caught.value).splitlines()[1:]
    assert len(listed) == len(problems)
    for line, problem in zip(listed, problems, strict=True):
        assert problem in line


def test_all_problems_are_told_at_once_with_the_points_that_have_them(written):
    text = """
    experiment = "toy-walk"
    base.sede = 1
    [grid]
    scale = [1.0, 0.0, -2.0]
    steps = [5, 0, 5]
    num_walkers = [1, 2]
    """
    with pytest.raises(ValueError, match="invalid sweep") as caught:
        read_sweep(written(text))
    assert str(caught.value).splitlines()[1:] == [
        "  - [grid] steps has the value 5 2 times",
        "  - there is no field 'sede': did you mean 'seed'?",
        "  - steps is 0; expected an integer >= 1 (at scale=1.0 steps=0 num_walkers=1,"
        " scale=1.0 steps=0 num_walkers=2, scale=0.0 steps=0 num_walkers=1 and 3 more)",
        "  - scale is 0.0; expected a finite number > 0 (at scale=0.0 steps=5 num_walkers=1,"
        " scale=0.0 steps=5 num_walkers=2, scale=0.0 steps=0 num_walkers=1 and 1 more)",
        "  - scale is -2.0; expected a finite number > 0 (at scale=-2.0 steps=5 num_walkers=1,"
        " scale=-2.0 steps=5 num_walkers=2, scale=-2.0 steps=0 num_walkers=1 and 1 more)",
    ]


FIELDS = [
    "there is no field 'sede': did you mean 'seed'?",
    "scale is -1.0; expected a finite number",
]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gird = 3", "there is no key 'gird'"),
        ('preset = "huge"', "preset is 'huge'; toy-walk has smoke, laptop"),
        ('preset = "smoke"\nlabel = "x"', "label is 'x'; the preset smoke of toy-walk has"),
        ('preset = "smoke"\ngrid.steps = []', "[grid] steps is an empty list"),
        ("grid.seed = 3", "[grid] seed is 3; expected a list of values"),
        ("grid.num_walkers = [1, 1]", "[grid] num_walkers has the value 1 2 times"),
        (f"grid.seed = {list(range(MOST_POINTS + 1))}", "the grid has 100,001 points"),
    ],
)
def test_what_is_wrong_with_the_file_hides_no_field(written, text, problem):
    with pytest.raises(ValueError, match="invalid sweep") as caught:
        read_sweep(written(f"{WALKS}{text}\nbase.sede = 1\nbase.scale = -1\n"))
    listed = str(caught.value).splitlines()[1:]
    assert len(listed) == 3
    for line, wanted in zip(listed, [problem, *FIELDS], strict=True):
        assert wanted in line


def test_the_name_of_an_empty_list_is_looked_at_too(written):
    text = f"{WALKS}grid.sede = []\ngrid.steps = []"
    with pytest.raises(ValueError, match="invalid sweep") as caught:
        read_sweep(written(text))
    assert [line for line in str(caught.value).splitlines()[1:] if "empty" not in line] == [
        "  - there is no field 'sede': did you mean 'seed'?"
    ]


def test_what_only_some_preset_has_wrong_is_not_told_of_an_unknown_one(written, monkeypatch):
    """One preset's config refuses the base, another takes it."""
    odd = dataclasses.replace(HIKE, presets={"smoke": {"a": HARD}, "laptop": {"b": Hike(Boots())}})
    monkeypatch.setattr(catalogue, "experiments", lambda: {"toy-hike": odd})
    with pytest.raises(ValueError, match="invalid sweep") as caught:
        read_sweep(written('experiment = "toy-hike"\npreset = "huge"\nbase.boots.size = 35'))
    assert str(caught.value).splitlines()[1:] == [
        "  - preset is 'huge'; toy-hike has smoke, laptop"
    ]


def test_entries_of_lists_are_reached_by_their_number(written):
    text = """
    experiment = "toy-hike"
    base = {boots.size = 41, stops = [7, 8]}
    [grid]
    stops.0 = [1, 2]
    """
    boots = Boots(41)
    assert configs(written(text)) == [Hike(boots, (1, 8)), Hike(boots, (2, 8))]


def test_a_grid_beyond_reason_is_refused_before_it_is_built(written):
    many = list(range(1, 1002))
    text = f"{WALKS}grid.steps = {many}\ngrid.seed = {many}\ngrid.num_walkers = {many}"
    with pytest.raises(
        ValueError, match=rf"1,003,003,001 points; expected at most {MOST_POINTS:,}"
    ):
        read_sweep(written(text))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("sweep.yaml", b"", "a sweep file is .toml or .json"),
        ("sweep.toml", b"experiment = ", "this is no TOML: "),
        ("sweep.json", b"{", "this is no JSON: "),
        ("sweep.toml", b"\xff", "this is no TOML: 'utf-8' codec"),
        ("sweep.json", b"[1]", "holds a list; expected an object"),
    ],
)
def test_what_is_no_sweep_file_is_told_with_its_path(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {problem}")):
        read_sweep(path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_sweep(tmp_path / "sweep.toml")


# Sweeps on a cluster


def results(store: Store) -> dict[str, bytes]:
    """Every result by address; there is nothing else but what a killed writer left."""
    store.clean(older_than=0.0)
    assert sorted(path.name for path in store.root.iterdir()) == store.addresses()
    return {
        name: (store.root / name / "result.safetensors").read_bytes() for name in store.addresses()
    }


def test_a_sweep_on_two_machines_one_of_which_dies_is_that_of_one_process(
    tmp_path, written, two_workers
):
    points = read_sweep(
        written(WALKS + "base.pause = 0.005\ngrid.seed = [1, 2]\ngrid.num_walkers = [2, 3]")
    )
    requests = [(point.experiment, point.config) for point in points]
    alone, spread = Store(tmp_path / "alone"), Store(tmp_path / "spread")
    assert Runs(alone).execute(requests, jobs=1).succeeded

    told = []

    def on_progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            two_workers.kill(two_workers.workers[0])

    report = Runs(spread).execute(requests, scheduler=two_workers.address, on_progress=on_progress)
    assert (report.failed, report.notes) == ((), ())
    assert told == [(done, 10) for done in range(11)]
    assert results(spread) == results(alone)
