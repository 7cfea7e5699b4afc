"""HTTP for the user of this machine and nobody else: `session.metrics` and `dash` answer by it."""
