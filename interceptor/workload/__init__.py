"""Finds the workload, changes it and puts it back; `session` calls these modules in the order of docs/architecture.md.

Looking: target, ports, inspect, rights, preflight. Acting: names, objects, lease, authority, zipapp, change, rollout.
"""
