"""Code coverage of a run."""
