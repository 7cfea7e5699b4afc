"""The tunnel's protocol as a value: bytes in, events out; no sockets, no clock. Layout on one page: docs/wire.md.

`connection` is the one door; `states` says what may happen when; `frames` packs; `layer` is what may lie below.
"""
