"""A folder for a paper of one's own: an installable project with one worked statement."""

from papers.new_paper.folder import project_files, write_project
from papers.new_paper.key import check_key

__all__ = ["check_key", "project_files", "write_project"]
