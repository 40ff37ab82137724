"""Configs go to JSON and come back; all problems of one are told at once."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.experiments import catalogue
from simulations.experiments.config_files import (
    changed,
    config_as_json,
    config_from_json,
    setting,
)
from simulations.experiments.experiment import Experiment
from theory.validation import Problems


@dataclass(frozen=True)
class Inner:
    length: int
    noise_std: float = 0.5

    def __post_init__(self):
        problems = Problems("Inner")
        problems.count("length", self.length, 1)
        problems.raise_if_any()


@dataclass(frozen=True)
class Config:
    num_examples: int
    scale: float = 1.0
    exact: bool = False
    name: str = "x"
    label: str | None = None
    sizes: tuple[int, ...] = (1, 2)
    rows: tuple[tuple[float, ...], ...] = ()
    pair: tuple[int, str] = (1, "a")
    mode: Literal["sgd", "adam"] = "sgd"
    either: int | float = 1
    inner: Inner = Inner(3)
    other: Inner | None = None
    seed: int = 0
    derived: int = field(init=False, default=7)

    def __post_init__(self):
        problems = Problems("Config")
        problems.count("num_examples", self.num_examples, 1)
        problems.number("scale", self.scale, 0.0, strict=True)
        problems.raise_if_any()


def toy(kind: type = Config, **options: Any) -> Experiment[Any]:
    nothing = {"parts": None, "compute": None, "combine": None}
    made = object.__new__(Experiment)
    fields = {
        "name": "toy",
        "title": "",
        "source": "",
        "config_type": kind,
        "presets": {},
        "encode": None,
        "decode": None,
    }
    for name, value in {**fields, **nothing, **options}.items():
        object.__setattr__(made, name, value)
    return made


TOY = toy()
INT64 = st.integers(-(2**62), 2**62)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CONFIGS = st.builds(
    Config,
    num_examples=st.integers(1, 2**62),
    scale=st.floats(1e-300, 1e300),
    exact=st.booleans(),
    name=st.text(),
    label=st.none() | st.text(),
    sizes=st.lists(INT64).map(tuple),
    rows=st.lists(st.lists(FLOATS, max_size=3).map(tuple), max_size=3).map(tuple),
    pair=st.tuples(INT64, st.text()),
    mode=st.sampled_from(["sgd", "adam"]),
    either=INT64 | FLOATS,
    inner=st.builds(Inner, st.integers(1, 9), FLOATS),
    other=st.none() | st.builds(Inner, st.integers(1, 9)),
    seed=INT64,
)


@settings(max_examples=50)
@given(CONFIGS)
def test_a_config_comes_back_as_it_was(config):
    document = config_as_json(TOY, config)
    text = json.dumps(document, allow_nan=False)
    read = config_from_json(TOY, json.loads(text))
    assert read == config
    assert json.dumps(config_as_json(TOY, read)) == text
    assert type(read.either) is type(config.either)
    assert "derived" not in document


def test_whole_numbers_become_floats_where_floats_are_expected():
    config = Config(2, scale=3, rows=((1, 2.5),), inner=Inner(1, 2))
    assert json.dumps(config_as_json(TOY, config)) == json.dumps(
        config_as_json(TOY, Config(2, 3.0, rows=((1.0, 2.5),), inner=Inner(1, 2.0)))
    )
    read = config_from_json(TOY, {"num_examples": 2, "scale": 3})
    assert type(read.scale) is float
    numbers = Config(np.int64(2), scale=np.float64(0.5), sizes=(np.int32(4),))
    document = config_as_json(TOY, numbers)
    assert [type(document[name]) for name in ("num_examples", "scale")] == [int, float]


def test_what_is_left_out_has_its_default():
    assert config_from_json(TOY, {"num_examples": 4}) == Config(4)
    assert config_from_json(TOY, {"num_examples": 4, "inner": {"length": 2}}).inner == Inner(2)


BAD = {
    "misspelt": ({"num_examples": 1, "sclae": 2.0}, "no field 'sclae': did you mean 'scale'?"),
    "unknown": ({"num_examples": 1, "zzz": 2.0}, "no field 'zzz'; expected some of num_examples,"),
    "missing": ({}, "the field 'num_examples' is missing"),
    "misspelt and missing": ({"num_exampels": 1}, "did you mean 'num_examples'?"),
    "out of range": ({"num_examples": 0}, "num_examples is 0; expected an integer >= 1"),
    "float for int": ({"num_examples": 1.0}, "num_examples is 1.0; expected an integer"),
    "bool for int": ({"num_examples": True}, "num_examples is True; expected an integer"),
    "bool for float": ({"num_examples": 1, "scale": True}, "scale is True; expected a finite"),
    "text for float": ({"num_examples": 1, "scale": "1"}, "scale is '1'; expected a finite number"),
    "NaN": ({"num_examples": 1, "scale": math.nan}, "scale is nan; expected a finite number"),
    "too large": ({"num_examples": 1, "scale": 10**400}, "expected a finite number"),
    "int for bool": ({"num_examples": 1, "exact": 1}, "exact is 1; expected true or false"),
    "number for text": ({"num_examples": 1, "name": 1}, "name is 1; expected text"),
    "number for text or null": ({"num_examples": 1, "label": 1}, "expected text or null"),
    "no list": ({"num_examples": 1, "sizes": 3}, "sizes is 3; expected a list, each entry an int"),
    "text for a list": ({"num_examples": 1, "sizes": "12"}, "sizes is '12'; expected a list"),
    "an entry": ({"num_examples": 1, "sizes": [1, 2.5]}, "sizes[1] is 2.5; expected an integer"),
    "a deep entry": ({"num_examples": 1, "rows": [[1, 2], [None]]}, "rows[1][0] is None; expected"),
    "wrong length": ({"num_examples": 1, "pair": [1]}, "expected a list of 2: an integer, text"),
    "choice": ({"num_examples": 1, "mode": "sdg"}, "one of 'sgd', 'adam': did you mean 'sgd'?"),
    "no object": (
        {"num_examples": 1, "inner": 3},
        "inner is 3; expected an object with the fields",
    ),
    "nested misspelt": (
        {"num_examples": 1, "inner": {"length": 1, "noise_sdt": 1}},
        "no field 'inner.noise_sdt': did you mean 'noise_std'?",
    ),
    "nested missing": ({"num_examples": 1, "inner": {}}, "the field 'inner.length' is missing"),
    "nested range": ({"num_examples": 1, "inner": {"length": 0}}, "inner: length is 0; expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_problem_is_told_with_what_was_expected(name):
    document, message = BAD[name]
    with pytest.raises(ValueError, match=r"^config of toy: 1 problem\(s\)\n  - ") as error:
        config_from_json(TOY, document)
    assert message in str(error.value)


def test_all_problems_are_told_at_once():
    document = {"num_examples": 0, "scale": -1.0, "sede": 1, "zzz": 0}
    with pytest.raises(ValueError, match=r"^config of toy: 4 problem\(s\)") as error:
        config_from_json(TOY, document)
    for word in ("num_examples is 0", "scale is -1.0", "'seed'", "'zzz'"):
        assert word in str(error.value)
    document = {"sizes": [True, None], "exact": "no", "inner": {"length": "1"}}
    with pytest.raises(ValueError, match=r"5 problem\(s\)") as error:
        config_from_json(TOY, document)


def test_a_config_of_another_type_is_refused():
    with pytest.raises(TypeError, match="the config is a Inner; expected a Config"):
        config_as_json(TOY, Inner(1))


@dataclass(frozen=True)
class Arrays:
    matrix: np.ndarray


@dataclass(frozen=True)
class Twins:
    task: Inner | Config = Inner(1)
    either: float | int = 1.5


@dataclass(frozen=True)
class Grown:
    tasks: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        object.__setattr__(self, "tasks", (*self.tasks, 0.0))


def test_a_field_without_json_needs_a_codec_of_its_own():
    with pytest.raises(TypeError, match=r"the field matrix is of type .*ndarray.*, which has no"):
        config_as_json(toy(Arrays), Arrays(np.eye(2)))
    with pytest.raises(
        TypeError, match=r"is Grown.* when read back from JSON; give the experiment"
    ):
        config_as_json(toy(Grown), Grown())
    own = toy(
        Arrays,
        encode=lambda config: {"matrix": config.matrix.tolist()},
        decode=lambda document: Arrays(np.array(document["matrix"])),
    )
    document = config_as_json(own, Arrays(np.eye(2)))
    assert document == {"matrix": [[1.0, 0.0], [0.0, 1.0]]}
    assert np.array_equal(config_from_json(own, document).matrix, np.eye(2))
    with pytest.raises(ValueError, match="is nan; expected a finite number"):
        config_as_json(own, Arrays(np.array([np.nan])))


def test_a_union_of_dataclasses_is_told_apart_by_its_fields():
    experiment = toy(Twins)
    for config in (Twins(), Twins(Config(4)), Twins(either=2.5)):
        assert config_from_json(experiment, config_as_json(experiment, config)) == config


# Settings


def test_settings_change_fields_and_lead_into_nested_ones():
    config = changed(TOY, Config(1), {"seed": 3, "inner.length": 5, "rows": [[1, 2]]})
    assert config == dataclasses.replace(Config(1), seed=3, inner=Inner(5), rows=((1.0, 2.0),))
    assert changed(TOY, config, {}) == config
    with pytest.raises(ValueError, match="did you mean 'seed'"):
        changed(TOY, config, {"sede": 1})
    with pytest.raises(ValueError, match="there is no field 'iner': did you mean 'inner'"):
        changed(TOY, config, {"iner.length": 1})
    with pytest.raises(ValueError, match="did you mean 'length'"):
        changed(TOY, config, {"inner.lenght": 1})


@pytest.mark.parametrize("name", ["rows.1.0", "rows[1][0]", "rows[1].0"])
def test_a_number_leads_into_a_list(name):
    config = Config(1, rows=((1.0,), (2.0, 3.0)))
    assert changed(TOY, config, {name: 5}).rows == ((1.0,), (5.0, 3.0))
    assert config.rows == ((1.0,), (2.0, 3.0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sizes[2]", "'2' in 'sizes[2]' is no entry of the list sizes, which is [1, 2]; expected an"
         " index from 0 to 1"),
        ("sizes.-1", "expected an index from 0 to 1"),
        ("sizes.x", "'x' in 'sizes.x' is no entry of the list sizes"),
        ("sizes[]", "expected an index from 0 to 1"),
        ("rows[0]", "list rows, which is []; expected the whole list, since it is empty"),
        ("seed[0]", "'0' in 'seed[0]' is no nested field: seed is 0; set seed itself"),
        ("inner.length.x.y", "'x' in 'inner.length.x.y' is no nested field: inner.length is 3"),
        ("sices[0]", "there is no field 'sices': did you mean 'sizes'?"),
    ],
)  # fmt: skip
def test_a_name_that_leads_nowhere_is_told_with_what_else_is_wrong(name, message):
    with pytest.raises(ValueError, match=r"^config of toy: 2 problem\(s\)\n") as error:
        changed(TOY, Config(1), {name: 1, "scale": -1.0})
    assert message in str(error.value)
    assert "scale is -1.0; expected a finite number > 0" in str(error.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("seed=3", ("seed", 3)),
        ("scale = 1e-3", ("scale", 0.001)),
        ("sizes=[1,2]", ("sizes", [1, 2])),
        ("mode=adam", ("mode", "adam")),
        ('name="3"', ("name", "3")),
        ("label=null", ("label", None)),
        ("name=a=b", ("name", "a=b")),
        ("name=", ("name", "")),
    ],
)
def test_a_setting_is_a_name_and_json_or_text(text, wanted):
    assert setting(text) == wanted


@pytest.mark.parametrize("text", ["seed", "=3", " =3", ""])
def test_other_settings_are_refused(text):
    with pytest.raises(ValueError, match="is not of the form name=value"):
        setting(text)


def test_every_preset_of_the_catalogue_goes_through_json():
    for name, experiment in catalogue.experiments().items():
        for configs in experiment.presets.values():
            for config in configs.values():
                document = json.loads(json.dumps(config_as_json(experiment, config)))
                assert config_from_json(experiment, document) == config, name
