"""Reads a model folder and its certificate: numbers and nothing else, each of them in its place."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float

from constructions.checker.rounding import ROUNDING

WEIGHTS, MIXTURE = "weights.safetensors", "mixture.safetensors"
MANIFEST, CERTIFICATE = "manifest.json", "certificate.json"

#: The version of ``certificate.json`` that is understood.
VERSION = 1

#: Names of a layer's matrices.
MATRICES = ("query", "key", "value", "output", "inward", "outward")

#: Names of the mixture's arrays.
MIXTURE_ARRAYS = ("components", "weights")

#: The most rows that one square may have.
MOST_ROWS = 32

#: Names of the bounds that a certificate states.
BOUNDS = ("box", "explained")


Layer = Mapping[str, Float[np.ndarray, "..."]]


class UnreadableError(ValueError):
    """The folder cannot be read as a model with a certificate; the message says what is odd."""


class NotCheckedError(ValueError):
    """The model is of a kind that the checker does not know; the message says which it does."""


@dataclass(frozen=True)
class Box:
    """Prompts with |x_i| <= covariate_norm, |x_il| <= covariate and |y_i| <= label."""

    covariate_norm: float
    covariate: float
    label: float


@dataclass(frozen=True)
class Settings:
    """What manifest and certificate both say."""

    noise_std: float
    max_examples: int
    dtype: str
    box: Box


@dataclass(frozen=True)
class Layout:
    """Which rows of the residual stream hold what, from 0.

    Parameters
    ----------
    token, image, square, score, mixture, answer
        Rows of the tokens (d), of <w_t, x_j> in the columns of labels (m), of its squared
        residuals (m, or several for each), of the scores (m), of sum_t p_t w_t (d) or of the
        posterior weights p_t themselves (m), and of the answer (1, or several that add up to it).
    zero, plus, minus
        The rows 0, +L and -L.
    one
        A row of ones, for squares with wings; None if there is none.
    """

    token: tuple[int, ...]
    image: tuple[int, ...]
    square: tuple[int, ...]
    score: tuple[int, ...]
    mixture: tuple[int, ...]
    answer: tuple[int, ...]
    zero: int
    plus: int
    minus: int
    one: int | None = None

    @property
    def squares(self) -> list[tuple[int, ...]]:
        """The rows of every square."""
        each = len(self.square) // len(self.image)
        return [self.square[t * each : (t + 1) * each] for t in range(len(self.image))]


@dataclass(frozen=True)
class Stored:
    """A model folder.

    Parameters
    ----------
    layers
        The matrices of every layer by name, float64 (exact also for a float32 network).
    constants, units
        (rows, columns) and (rows,).
    components, weights
        Of the mixture, (m, d) and (m,), with components of weight 0 left out.
    manifest, certificate
        The settings that each of them states.
    layout, bounds, tree, assumptions
        What the certificate claims.
    problems
        What does not fit together: checksums, dtypes.
    """

    layers: list[Layer]
    constants: Float[np.ndarray, "rows columns"]
    units: Float[np.ndarray, " rows"]
    components: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]
    manifest: Settings
    certificate: Settings
    layout: Layout
    bounds: Mapping[str, float]
    tree: Any
    assumptions: Mapping[str, float]
    problems: tuple[str, ...]


def read(folder: Path) -> Stored:
    """Return the contents of a model folder with a certificate.

    Raises
    ------
    UnreadableError
        If a file is missing or is not what its name says; the message names the entry.
    NotCheckedError
        If the network has not three layers.
    """
    data = {name: _bytes(folder / name) for name in (WEIGHTS, MIXTURE, MANIFEST, CERTIFICATE)}
    manifest = _json(data[MANIFEST], folder / MANIFEST)
    certificate = _json(data[CERTIFICATE], folder / CERTIFICATE)
    where = f"{folder / CERTIFICATE}: "
    if _entry(certificate, "version", int, where) != VERSION:
        raise UnreadableError(f"{where}version is {certificate['version']}, expected {VERSION}")
    content = _entry(manifest, "content", dict, f"{folder / MANIFEST}: ")
    metadata = _entry(content, "metadata", dict, f"{folder / MANIFEST}: ")
    weights, mixture = (_arrays(data[name], folder / name) for name in (WEIGHTS, MIXTURE))
    stated = _settings(certificate, where)
    components, prior = (_array(mixture, name, folder / MIXTURE) for name in MIXTURE_ARRAYS)
    if components.ndim != 2 or prior.shape != components.shape[:1] or not (prior > 0).any():
        raise UnreadableError(
            f"{folder / MIXTURE}: components {components.shape} and weights {prior.shape}; "
            "expected (m, d) and (m,), one weight positive"
        )
    layers = _layers(weights, folder / WEIGHTS)
    if len(layers) != 3:
        raise NotCheckedError(
            f"not checked: {len(layers)} layers; the checker knows networks of three layers"
        )
    constants, units = (_array(weights, name, folder / WEIGHTS) for name in ("constants", "units"))
    width = layers[0]["inward"].shape[1]
    if constants.ndim != 2 or len(constants) != width or units.shape != (width,):
        raise UnreadableError(
            f"{folder / WEIGHTS}: constants {constants.shape} and units {units.shape}; expected "
            f"({width}, columns) and ({width},)"
        )
    types = {array.dtype.name for name, array in weights.items()}
    wrong = [f"weights are {', '.join(sorted(types))}, not {stated.dtype}"]
    return Stored(
        layers,
        constants,
        units,
        components[prior > 0],
        prior[prior > 0],
        _settings(metadata, f"{folder / MANIFEST}: "),
        stated,
        _layout(_entry(certificate, "layout", dict, where), width, components.shape, prior, where),
        _numbers(_entry(certificate, "bounds", dict, where), BOUNDS, f"{where}bounds: "),
        _entry(certificate, "tree", (dict, list), where),
        _numbers(
            _entry(certificate, "assumptions", dict, where),
            ("unit_roundoff", "gelu", "exp")
            + (("silent",) if "one" in _entry(certificate, "layout", dict, where) else ()),
            f"{where}assumptions: ",
        ),
        (
            *_checksums(data, content, certificate, where, folder),
            *(wrong if types != {stated.dtype} else []),
        ),
    )


def _bytes(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        reason = f"{place} cannot be read: {error.strerror or error}"
        if place.name == CERTIFICATE and isinstance(error, FileNotFoundError):
            reason += (
                "; a model without prefix columns, or with scores too coarse for its box, is built "
                "without a certificate, and there is nothing to check"
            )
        raise UnreadableError(reason) from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _json(data: bytes, place: Path) -> dict[str, Any]:
    try:
        found = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{place} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableError(f"{place} holds {type(found).__name__}, expected an object")
    return found


def _entry(found: Mapping[str, Any], name: str, kind: Any, where: str) -> Any:
    value = found.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        shown = repr(value)[:40] if name in found else "missing"
        raise UnreadableError(f"{where}{name} is {shown}, expected {_kind(kind)}")
    return value


def _kind(kind: Any) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(k.__name__ for k in kinds)


def _numbers(found: Mapping[str, Any], names: tuple[str, ...], where: str) -> dict[str, float]:
    numbers = {}
    for name in names:
        value = float(_entry(found, name, (int, float), where))
        if not isfinite(value) or value < 0:
            raise UnreadableError(f"{where}{name} is {value}, expected a finite number >= 0")
        numbers[name] = value
    return numbers


def _settings(found: Mapping[str, Any], where: str) -> Settings:
    (noise,) = _numbers(found, ("noise_std",), where).values()
    names = ("covariate_norm", "covariate", "label")
    box = _numbers(_entry(found, "box", dict, where), names, f"{where}box: ")
    most, dtype = _entry(found, "max_examples", int, where), _entry(found, "dtype", str, where)
    if dtype not in ROUNDING or most < 0 or noise == 0:
        raise UnreadableError(
            f"{where}dtype is {dtype!r}, max_examples {most} and noise_std {noise}; expected "
            f"one of {', '.join(ROUNDING)}, 0 or more, and a positive number"
        )
    return Settings(noise, most, dtype, Box(**box))


def _arrays(data: bytes, place: Path) -> dict[str, Any]:
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise UnreadableError(f"{place} is not a safetensors file: {error}") from error


def _array(arrays: Mapping[str, Any], name: str, place: Path) -> Float[np.ndarray, "..."]:
    if name not in arrays:
        raise UnreadableError(f"{place} holds no array {name!r}")
    array = arrays[name]
    if array.dtype.name not in ROUNDING or not np.isfinite(array).all():
        raise UnreadableError(
            f"{place}: {name} is {array.dtype} or not finite; expected finite floats"
        )
    return np.array(array, dtype=np.float64)


def _layers(weights: Mapping[str, Any], place: Path) -> list[Layer]:
    layers: list[Layer] = []
    while any(name.startswith(f"stack.{len(layers)}.") for name in weights):
        prefix = f"stack.{len(layers)}."
        layers.append({name: _array(weights, prefix + name, place) for name in MATRICES})
    expected = {f"stack.{n}.{name}" for n in range(len(layers)) for name in MATRICES}
    expected |= {"constants", "units"}
    if not layers or set(weights) != expected:
        odd = ", ".join(sorted(set(weights) ^ expected)) or "no layers"
        raise UnreadableError(f"{place}: expected stack.N.{{...}}, constants, units; odd: {odd}")
    if problems := _shape_problems(layers):
        raise UnreadableError(f"{place}: {problems[0]}")
    return layers


def _shape_problems(layers: list[Layer]) -> list[str]:
    problems = []
    width = layers[0]["inward"].shape[-1]
    for number, layer in enumerate(layers):
        heads, attend = (*layer["query"].shape, 0, 0)[:2]
        hidden = layer["inward"].shape[0]
        inside, out = (heads, attend, width), (heads, width, attend)
        shapes = (inside, inside, inside, out, (hidden, width), (width, hidden))
        problems += [
            f"stack.{number}.{name} has shape {matrix.shape}, expected {shape}"
            for (name, matrix), shape in zip(layer.items(), shapes, strict=True)
            if matrix.shape != shape
        ]
    return problems


def _layout(
    found: Mapping[str, Any],
    width: int,
    shape: tuple[int, ...],
    prior: Float[np.ndarray, " m"],
    where: str,
) -> Layout:
    m, d = int((prior > 0).sum()), shape[1]
    sizes: dict[str, Sequence[int]] = {"token": [d], "image": [m], "score": [m]}
    # More than one row a square, and more than one of the answer, in networks with wings.
    sizes |= {"square": range(m, MOST_ROWS * m + 1, m), "mixture": [d, m]}
    sizes |= {"answer": range(1, max(m, d) + 1)}
    rows: dict[str, Any] = {}
    for name, allowed in sizes.items():
        entry = _entry(found, name, list, f"{where}layout: ")
        if len(entry) not in allowed or not all(_is_row(row, width) for row in entry):
            raise UnreadableError(
                f"{where}layout: {name} is {str(entry)[:60]}, expected "
                f"{' or '.join(map(str, allowed[:3]))} rows below {width}"
            )
        rows[name] = tuple(entry)
    for name in ("zero", "plus", "minus"):
        rows[name] = _entry(found, name, int, f"{where}layout: ")
        if not _is_row(rows[name], width):
            raise UnreadableError(
                f"{where}layout: {name} is {rows[name]}, expected a row below {width}"
            )
    if "one" in found:
        rows["one"] = _entry(found, "one", int, f"{where}layout: ")
        if not _is_row(rows["one"], width):
            raise UnreadableError(
                f"{where}layout: one is {rows['one']}, expected a row below {width}"
            )
    return Layout(**rows)


def _is_row(row: Any, width: int) -> bool:
    return isinstance(row, int) and not isinstance(row, bool) and 0 <= row < width


def _checksums(
    data: Mapping[str, bytes],
    content: Mapping[str, Any],
    certificate: Mapping[str, Any],
    where: str,
    folder: Path,
) -> list[str]:
    """Both manifest and certificate must name the files that are there."""
    listed = _entry(content, "files", dict, f"{folder / MANIFEST}: ")
    sums = {name: hashlib.sha256(content_of).hexdigest() for name, content_of in data.items()}
    problems = []
    for name, key in ((WEIGHTS, "weights_sha256"), (MIXTURE, "mixture_sha256")):
        if _entry(certificate, key, str, where) != sums[name]:
            problems.append(f"{name} is not the file that the certificate was made for ({key})")
        if name not in listed:
            problems.append(f"the manifest does not list {name}")
    problems += [
        f"{name} does not match its checksum in the manifest"
        for name, entry in listed.items()
        if name in sums and (not isinstance(entry, dict) or entry.get("sha256") != sums[name])
    ]
    whole = json.dumps(content, sort_keys=True, allow_nan=False).encode()
    if json.loads(data[MANIFEST]).get("checksum") != hashlib.sha256(whole).hexdigest():
        problems.append("the manifest does not match its own checksum")
    return problems
