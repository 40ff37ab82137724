"""What all figures share: their look, and how they are written."""
