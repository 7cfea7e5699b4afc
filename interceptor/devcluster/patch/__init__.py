"""The four ways of PATCH, all pure: object and patch in, object out; called by `registry`."""
