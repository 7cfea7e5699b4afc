"""What passes an intercepted workload, as the intercepting client sees it: counted by route, and shown live on request.

`hub` gets every exchange that `interceptor.http` tells of; `counts` adds it up; `record` makes it readable elsewhere.
"""
