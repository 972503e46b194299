"""What is made of the facts: one listener, one file."""
