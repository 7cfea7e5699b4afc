"""The program in the pod: standard library only, Python 3.10, any user id. `__main__` starts it."""
