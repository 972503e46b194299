"""The ground floor: facts, the bus, the journal, options, paths and errors. Standard library only."""
