"""A toy statement whose check kills its process, and one beside it."""

from dataclasses import replace

from tests.papers.toy_paper import dying, one

STATEMENTS = (
    replace(one("dying"), id="dying/first", check=dying),
    replace(one("dying"), id="dying/second"),
)
