"""Sockets around `wire`: the same class set in the client (asyncio) and in the pod (epoll).

Way of the data: `link` (one socket and its layers) <-> `mux` (frames <-> streams) <-> `relay` (one stream, one socket).
"""
