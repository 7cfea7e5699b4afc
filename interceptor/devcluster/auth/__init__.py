"""Who asks and what they may: certificates, tokens, RBAC; called by `api.server` on every request."""
