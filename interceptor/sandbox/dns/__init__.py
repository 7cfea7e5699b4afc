"""Names as the pod resolves them: questions go to the pod's own name server, answers are kept as long as they say."""
