"""Where a statement stands in the sources."""

import re
from pathlib import Path

from papers.description import Description
from simulations.runs.source_code import source_file


def place_of(said: Description) -> tuple[Path | None, int]:
    """Return file and line: where its id is written, or where its check begins if ids are made.

    The file is None, and the line 1, if nobody lists the statement.
    """
    file = source_file(said.module) if said.module else None
    text = "" if file is None else file.read_text(encoding="utf-8")
    # As the argument of a call: among `depends_on` of others is not where it stands.
    written = re.search(rf"""(?:\bid=|\w\(\s*)["']{re.escape(said.id)}["']""", text)
    if written is not None:
        return file, text.count("\n", 0, written.end()) + 1
    if said.check_module:
        return source_file(said.check_module), said.check_line
    return file, 1
