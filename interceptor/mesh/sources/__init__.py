"""Where figures by route come from: this machine's session, the mesh's proxies, a Prometheus. `choose` picks one."""
