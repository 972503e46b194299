"""What became of tests over runs: the history that runs keep, and the commands that look at it."""
