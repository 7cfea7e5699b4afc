"""The commands: parses what was typed, prints what happened; `__main__` enters here, `session` does the work."""
