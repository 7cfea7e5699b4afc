"""Streams into pods: logs, exec, port-forward; called by `api.server`."""
