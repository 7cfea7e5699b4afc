"""Everything about one workload and its neighbours: pods, Services, network, mesh, routes, authorization; for `session`.

Each finding says what is wrong, why it matters, and what to type next.
"""
