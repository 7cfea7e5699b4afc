"""What the product relies on in a cluster, told once and held by both: the dev cluster, and a real one when
INTERCEPTOR_CONTRACT_KUBECONFIG names it."""
