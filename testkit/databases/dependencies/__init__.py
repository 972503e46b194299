"""What a test database depends on: known before it is built (the fingerprint), or seen while migrations run (inputs)."""
