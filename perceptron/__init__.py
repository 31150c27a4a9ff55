"""The numerical core: arrays in, records out. Knows no HTTP, no database, no queue."""
