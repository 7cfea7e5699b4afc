"""The live page of an intercept: `cli.dash` serves `app` on loopback, a browser shows what `watching` and `flow` tell.

Everything here is another reader of the session's control socket, as `tap` and `routes` are, and of the cluster, as
`status` is. What came over the network is text all the way: JSON to the page, text nodes in it.
"""
