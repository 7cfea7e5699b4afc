"""The container's volumes on this machine: asked of the agent (`remote`), shown by FUSE (`server`) or copied (`copies`)."""
