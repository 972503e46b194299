"""The databases of a run: the production guard, and how they are provided."""
