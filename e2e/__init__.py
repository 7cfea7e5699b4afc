"""Black-box scenarios on a real cluster: the command as a user types it, traffic from pods, and what is left after."""
