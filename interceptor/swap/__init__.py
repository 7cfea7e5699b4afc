"""Pure: a workload object in, the swapped or restored object out, and the JSON Patch between two objects.

`workload` calls it to intercept and to undo; the guard in the pod calls the same `restore`. The object given
is never changed. Runs on Python 3.10 with the standard library only.
"""

from interceptor.swap.patch import json_patch, precondition
from interceptor.swap.plan import SwapPlan
from interceptor.swap.record import SESSION_ANNOTATION, SWAP_ANNOTATION, Record, record_of
from interceptor.swap.template import AlreadySwapped, swap
from interceptor.swap.undo import Restored, disturbed, first_write, restore, settled, taken_back, with_record_of

__all__ = [
    "SESSION_ANNOTATION",
    "SWAP_ANNOTATION",
    "AlreadySwapped",
    "Record",
    "Restored",
    "SwapPlan",
    "disturbed",
    "first_write",
    "json_patch",
    "precondition",
    "record_of",
    "restore",
    "settled",
    "swap",
    "taken_back",
    "with_record_of",
]
