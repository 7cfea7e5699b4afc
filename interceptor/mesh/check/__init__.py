"""Diagnostics as data: `model` says what a check is, `runner` runs them on one shared view of the cluster (`facts`).

The other modules are lists of checks: `kubernetes`, `linkerd`, `istio`, our `own`, and those about one `workload`.
"""
