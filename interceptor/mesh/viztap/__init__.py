"""What Linkerd's viz extension sees of a workload's requests, as its tap API tells it; `session.viztap` asks and reads.

`protobuf` reads the bytes, `messages` knows the few messages, `joined` makes one record of a request's three events.
"""
