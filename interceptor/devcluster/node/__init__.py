"""The one node of the dev cluster: pods as processes of this machine; started by `cluster`, told by the store."""
