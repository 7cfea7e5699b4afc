"""Programs of the scenarios: each runs unchanged in a pod (baked into the test image) and on this machine."""
