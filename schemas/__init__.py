"""The vocabulary of the system: frozen pydantic models. No I/O; imports nothing of ours."""
