"""The log level of mesh proxies: read, set and put back exactly, on the admin port; `session.log_level` tells the story."""
