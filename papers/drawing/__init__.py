"""What the figures of all papers share: their look, and how they are written."""
