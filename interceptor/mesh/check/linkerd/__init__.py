"""Linkerd's own checks: its categories, order and words, so that its users and scripts find what they know.

`control_plane` and `data_plane` put the categories together; where the words differ from Linkerd's, docs/checks.md says why.
"""
