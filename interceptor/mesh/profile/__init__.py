"""ServiceProfiles and routes of a Service: read, shown, generated, edited. Pure but for `read`; `session.profile*` calls."""
