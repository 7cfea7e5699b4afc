"""Watches the bytes of a relayed connection and tells its requests and responses: HTTP/1, HTTP/2, gRPC.

Pure: bytes and the time in, calls of a `Listener` out; no socket, no clock, standard library only. `watch.Watch` is the
one door. Nothing here changes a byte: what can't be read is called opaque and counted.
"""
