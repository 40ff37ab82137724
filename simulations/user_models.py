"""A user's own model as a predictor: from a folder, or a Python callable by its import path."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float
from torch import nn

from constructions import PosteriorMeanTransformer
from constructions.gpt2 import GPT2
from constructions.gpt2_files import CONFIG, PROMPTS, WEIGHTS, read_gpt2
from simulations.built_models import KIND as BUILT
from simulations.built_models import load_model
from simulations.stored_folder import MANIFEST, read_folder, read_metadata
from simulations.transformers.folder import CHECKPOINT, MODEL_KIND, read_model
from simulations.transformers.predictor import ModelPredictor
from simulations.transformers.prompts import MixturePrompts, Prompts
from theory import Predictor, PromptBatch, RegressionMixture
from theory.validation import Problems

__all__ = ["CallablePredictor", "UserModel", "load_predictor", "load_user_model"]

_EXPORT = "export-gpt2"

#: Of the size of answers: float16 changes less from call to call.
_NOT_CAUSAL = 0.02

#: Prompts that a function is asked again.
_ASKED_AGAIN = 64

_EXPECTED = (
    "expected a folder that iclproof train, build or export --to gpt2 has written, that of a stock"
    f" GPT-2 with {PROMPTS}, or package.module:callable"
)


@dataclass(frozen=True, eq=False)
class UserModel:
    """A model, with what its folder tells of the prompts that it is for.

    Attributes
    ----------
    predictor
        The model.
    law
        Of the prompts that it was trained on; None if the folder does not tell.
    mixture
        Of the prompts that it was trained on or built for; None if the folder does not tell.
    num_examples
        Their length; None if it is not known.
    max_examples
        The longest prompt that it can answer; None if there is no such limit, or it is not known.
    dim
        d; None if it is not known.
    """

    predictor: Predictor
    law: Prompts | None = None
    mixture: RegressionMixture | None = None
    num_examples: int | None = None
    max_examples: int | None = None
    dim: int | None = None


def load_predictor(where: str) -> Predictor:
    """Return a user's model as a predictor.

    Parameters
    ----------
    where
        A folder: of a model that ``iclproof train`` has trained, or ``iclproof build`` has built;
        or with the files that `constructions.gpt2_files.read_gpt2` reads, such as an export. Or
        ``package.module:callable``, imported with the current directory on the path: see
        `CallablePredictor`.

    Raises
    ------
    ValueError, OSError
        If there is no such model, or it cannot be read. The error names it.
    """
    return load_user_model(where).predictor


def load_user_model(where: str) -> UserModel:
    """Return a user's model with what is known of its prompts.

    Parameters and errors are those of `load_predictor`.
    """
    path = Path(where)
    if path.exists():
        return _from_folder(path)
    module, colon, name = where.rpartition(":")
    if colon and module and name and os.sep not in where:
        return UserModel(CallablePredictor(_imported(module, name), where))
    raise FileNotFoundError(f"there is no model {where}: {_EXPECTED}")


@dataclass(frozen=True, eq=False)
class CallablePredictor:
    """A function of numpy arrays as a `theory.Predictor`.

    Parameters
    ----------
    function
        From covariates (batch, k+1, d) and labels (batch, k), both float64, to the answers after
        every number of examples, (batch, k+1), or to those for whole prompts, (batch,). In that
        case it is called once for each prefix, the shortest first. Before, it is asked some prompts
        with labels of others, to see which it is; after, some prompts again, in the other case with
        other examples after each prefix, to see that answers are the same and do not use them.
    name
        What errors, figures and tables call it.
    """

    function: Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64]], Any]
    name: str

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        """Predict y_{k+1} of every prompt, shape (batch,), float64.

        Raises
        ------
        ValueError
            If the function raises an exception, or its answers are not finite numbers of a shape
            that it may return.
        """
        found = self._called(prompts)
        return found if found.ndim == 1 else found[:, -1]

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        """Predict y_{n+1} from the first n examples, n = 0..k, shape (batch, k+1), float64.

        Raises
        ------
        ValueError
            As `predict`.
        """
        few = _some(prompts)
        # Which kind it is, from labels of other prompts: it may remember what it is asked.
        decoy = PromptBatch(prompts.xs[few], np.roll(prompts.ys[few], 1, axis=0))
        if self._called(decoy).ndim == 2:
            found = self._called(prompts)
            self._require_causal(prompts, found)
            return found
        # Shortest first, for the same reason.
        lengths = range(prompts.num_examples + 1)
        found = np.stack([self.predict(prompts.prefix(n)) for n in lengths], axis=1)
        again = self.predict(PromptBatch(prompts.xs[few], prompts.ys[few]))
        if _change(again, found[few, -1], found) > 0:
            raise ValueError(
                f"{self.name}: its answers change when some prompts are asked for again; expected"
                " answers that depend on the prompt alone, and are the same in each call"
            )
        return found

    def _require_causal(self, prompts: PromptBatch, answers: npt.NDArray[np.float64]) -> None:
        """Refuse answers that change with what comes later: the label is told there.

        For every n some prompts are asked again, and for one n all of them, with everything after
        x_{n+1} taken from other prompts.
        """
        for n in range(prompts.num_examples + 1):
            every = n == prompts.num_examples // 2
            some = np.arange(len(prompts)) if every else _some(prompts)
            xs, ys = prompts.xs[some], prompts.ys[some]
            xs[:, n + 1 :] = np.roll(xs[:, n + 1 :], 1, axis=0)
            ys[:, n:] = np.roll(ys[:, n:], 1, axis=0)
            again = self._called(PromptBatch(xs, ys))
            if (change := _change(again[:, n], answers[some, n], answers)) > 0:
                raise ValueError(
                    f"{self.name}: its answers after {n} examples change by up to {change:.3g} when"
                    " they are asked for again with other examples after these; expected answers"
                    " that depend on earlier examples only, and are the same in each call: return"
                    " one answer for each prompt, (batch,), to be called for each prefix"
                )

    def _called(self, prompts: PromptBatch) -> npt.NDArray[np.float64]:
        """Call the function on copies, and check what it returns."""
        try:
            with _current_directory_on_path():
                answers = np.asarray(self.function(prompts.xs.copy(), prompts.ys.copy()))
        except (Exception, SystemExit) as error:
            raise ValueError(f"{self.name} raised {_told(error)}") from error
        expected = ((len(prompts), prompts.num_examples + 1), (len(prompts),))
        problems = Problems(f"{self.name}, called with {prompts.xs.shape} and {prompts.ys.shape}")
        if answers.shape not in expected:
            problems.add(
                f"answers have shape {answers.shape}; expected {expected[0]}, one for each prefix,"
                f" or {expected[1]}, one for each prompt"
            )
            problems.raise_if_any()
        axes = ("batch", "k+1")[: answers.ndim]
        checked = problems.array("answers", answers, axes)
        problems.raise_if_any()
        return np.asarray(checked)


def _change(
    again: Float[np.ndarray, " n"],
    before: Float[np.ndarray, " n"],
    answers: Float[np.ndarray, "batch prefixes"],
) -> float:
    """Return the largest change from one call to another; 0 if none is more than rounding.

    Each is judged by its own size and the usual one: a large answer excuses no other.
    """
    change = np.abs(again - before)
    allowed = _NOT_CAUSAL * (np.abs(before) + np.median(np.abs(answers)))
    return float(np.max(change)) if np.any(change > allowed) else 0.0


def _some(prompts: PromptBatch) -> npt.NDArray[np.int64]:
    """Some rows from all over the batch, the same each time."""
    rows = np.random.default_rng(len(prompts)).permutation(len(prompts))[:_ASKED_AGAIN]
    return np.sort(rows)


# Folders


def _from_folder(path: Path) -> UserModel:
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file: {_EXPECTED}")
    if (path / MANIFEST).exists():
        kind = read_metadata(path).get("kind")
        if kind == MODEL_KIND:
            return _trained(path)
        if kind == BUILT:
            return _built(path)
        if kind != _EXPORT:
            raise ValueError(f"{path} is a folder of kind {kind!r}: {_EXPECTED}")
        return _gpt2(path, read_folder(path).files)
    if seeds := sorted(child.name for child in path.glob("seed-*") if child.is_dir()):
        raise ValueError(
            f"{path} holds a training of several models, {', '.join(seeds)}; give one of them:"
            f" {path / seeds[0]}"
        )
    if (path / CHECKPOINT).is_dir():
        raise ValueError(f"{path} holds a training that is not finished: go on with iclproof train")
    names = (CONFIG, WEIGHTS, PROMPTS)
    files = {name: (path / name).read_bytes() for name in names if (path / name).is_file()}
    return _gpt2(path, files)


def _trained(path: Path) -> UserModel:
    saved = read_model(path)
    law, positions = saved.config.prompts, saved.config.num_positions
    return UserModel(
        ModelPredictor(saved.model, name=path.name),
        law,
        law.mixture if isinstance(law, MixturePrompts) else None,
        law.num_examples,
        None if positions is None else (positions - 1) // 2,
        law.dim,
    )


def _built(path: Path) -> UserModel:
    network = load_model(path)
    if network.min_examples:
        raise ValueError(
            f"{path} has no answers after fewer than {network.min_examples} examples, and all"
            " prefixes are compared; build it with prefix columns"
        )
    k, d = network.max_examples, network.mixture.dim
    return UserModel(_Built(network, path.name), None, network.mixture, k, k, d)


def _gpt2(path: Path, files: Any) -> UserModel:
    try:
        model, before = read_gpt2(files)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    return UserModel(
        ModelPredictor(model, path.name, before),
        max_examples=_longest(model, before),
        dim=model.read_in.in_features,
    )


def _longest(model: GPT2, before: int) -> int | None:
    return None if model.positions is None else (len(model.positions) - before - 1) // 2


@dataclass(frozen=True, eq=False)
class _Built:
    """A built transformer under a name of its own."""

    network: PosteriorMeanTransformer
    name: str

    def predict(self, prompts: PromptBatch) -> Float[np.ndarray, " batch"]:
        return self.network.predict(prompts)

    def predict_all_prefixes(self, prompts: PromptBatch) -> Float[np.ndarray, "batch prefixes"]:
        return self.network.predict_all_prefixes(prompts)


# Import paths


def _imported(module: str, name: str) -> Callable[..., Any]:
    """Import a callable, with the current directory on the path."""
    where = f"{module}:{name}"
    try:
        with _current_directory_on_path():
            found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{where}: importing {module} raised {_told(error)}") from error
        raise ValueError(
            f"{where}: there is no module {error.name!r} in {Path.cwd()} or among what is"
            f" installed; {_EXPECTED}"
        ) from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"{where}: importing {module} raised {_told(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            advice = f": did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: {module} has no {part!r}{advice}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{where} is a {type(found).__name__}, expected a callable")
    # A module of torch is called with tensors; this is called with numpy arrays.
    if isinstance(found, nn.Module):
        raise ValueError(f"{where} is a torch module; expected a function of numpy arrays")
    function: Callable[..., Any] = found
    return function


@contextmanager
def _current_directory_on_path() -> Iterator[None]:
    """Let imports look into the current directory first, as `python -m` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _told(error: BaseException) -> str:
    """Return an exception in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
