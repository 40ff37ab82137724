"""Draws every figure of experiments that stored runs can supply, and says what is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simulations.drawing.files import write_figures, write_whole
from simulations.experiments.experiment import Preset
from simulations.figures.experiment_figure import ExperimentFigure
from simulations.figures.supply import Shelf, Source, supply
from simulations.stored_folder import JSON

__all__ = ["DrawnFigure", "Gallery", "MissingRuns", "draw_gallery", "write_page"]

#: The page that shows the figures with their captions.
PAGE = "captions.md"


@dataclass(frozen=True)
class DrawnFigure:
    """A figure that was drawn.

    Parameters
    ----------
    name, title, caption
        Of the figure.
    files
        What was written.
    sources
        The runs that are drawn, by label.
    """

    name: str
    title: str
    caption: str
    files: tuple[Path, ...]
    sources: dict[str, Source]

    def as_dict(self) -> dict[str, JSON]:
        """Return everything as JSON can hold it."""
        return {
            "name": self.name,
            "title": self.title,
            "caption": self.caption,
            "files": [str(path) for path in self.files],
            "sources": {
                label: {
                    "experiment": source.run.experiment,
                    "address": source.run.address,
                    "code": source.run.code,
                    "from": source.shelf,
                }
                for label, source in self.sources.items()
            },
        }


@dataclass(frozen=True)
class MissingRuns:
    """Runs that a figure lacks, and how to make them.

    Parameters
    ----------
    figure, experiment
        Names.
    labels
        Of the runs that are not there; none if the experiment has no such preset.
    command
        What makes them; empty if the experiment has no such preset.
    """

    figure: str
    experiment: str
    labels: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        if not self.command:
            return f"{self.figure}: {self.experiment} does not have this preset; choose another"
        return f"{self.figure}: no run of {'; '.join(self.labels)}: make it with: {self.command}"

    def as_dict(self) -> dict[str, JSON]:
        """Return everything as JSON can hold it."""
        return {
            "figure": self.figure,
            "experiment": self.experiment,
            "labels": list(self.labels),
            "command": self.command,
        }


@dataclass(frozen=True)
class Gallery:
    """What was drawn, and what was not.

    Parameters
    ----------
    drawn
        The figures.
    missing
        What they and others lack.
    damaged
        A sentence for each run that is not as it was written; it names the folder.
    """

    drawn: tuple[DrawnFigure, ...]
    missing: tuple[MissingRuns, ...]
    damaged: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Every file that was written."""
        return [path for figure in self.drawn for path in figure.files]


def draw_gallery(
    directory: Path,
    figures: Sequence[ExperimentFigure],
    preset: Preset,
    shelves: Sequence[Shelf],
) -> Gallery:
    """Draw the figures of experiments that have runs on the shelves, with captions.

    Writes NAME.svg, NAME.png and NAME.txt, the caption, for each. A figure with some of its runs
    shows those.

    Parameters
    ----------
    directory
        Where to write; made if it is not there. Files of the same names are replaced.
    figures
        Which.
    preset
        Whose runs.
    shelves
        Where to look for them, in this order.

    Raises
    ------
    OSError
        If a figure cannot be written; it names the file.
    """
    drawn: list[DrawnFigure] = []
    missing: list[MissingRuns] = []
    damaged: dict[str, None] = {}
    for figure in figures:
        found = supply(figure, preset, shelves)
        damaged.update(dict.fromkeys(found.damaged))
        if found.missing or not found.found:
            missing.append(_missing(figure, found.missing, preset))
        if found.found:
            caption = figure.caption(found.runs, found.missing)
            drawing = {figure.name: figure.draw(found.runs)}
            files = write_figures(directory, drawing, {figure.name: caption})
            drawn.append(DrawnFigure(figure.name, figure.title, caption, tuple(files), found.found))
    return Gallery(tuple(drawn), tuple(missing), tuple(damaged))


def write_page(directory: Path, gallery: Gallery, preset: Preset) -> Path:
    """Write captions.md, in Markdown, which shows the figures that were drawn; return its path."""
    path = directory / PAGE
    write_whole(path, _page(gallery.drawn, preset).encode())
    return path


def _missing(figure: ExperimentFigure, labels: Sequence[str], preset: Preset) -> MissingRuns:
    command = f"iclproof runs start {figure.experiment} --preset {preset}" if labels else ""
    return MissingRuns(figure.name, figure.experiment, tuple(labels), command)


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is: |u*| and U_F are no emphasis."""
    return re.sub(r"([\\`*_<>|^])", r"\\\1", text)


def _page(drawn: Sequence[DrawnFigure], preset: Preset) -> str:
    """Return the page of captions, in Markdown."""
    parts = ["# Figures of the experiments, with their captions\n"]
    for figure in drawn:
        said, origin = _escaped(figure.caption).split("\n\n", 1)
        runs = "\n".join(f"- {line}" for line in origin.splitlines())
        experiment = next(iter(figure.sources.values())).run.experiment
        parts.append(
            f"## {figure.name}\n\n![{figure.title}]({figure.name}.svg)\n\n{said}\n\n{runs}\n\n"
            f"Again: `iclproof runs start {experiment} --preset {preset}`, then"
            f" `iclproof figures --out DIR --preset {preset} --only {figure.name}`.\n"
        )
    return "\n".join(parts)
