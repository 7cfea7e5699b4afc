"""The home of the local process: environment, way out through the pod, running COMMAND; `session` uses it."""
