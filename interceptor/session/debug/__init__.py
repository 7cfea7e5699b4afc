"""`interceptor debug`: a container with tools beside a workload's own, and errands run in it; `run` is where it begins."""
