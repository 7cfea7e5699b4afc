"""The HTTP side of the dev cluster: requests in, objects, tables, watches and Status out."""
