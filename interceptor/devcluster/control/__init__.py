"""The controllers: each makes one part of the cluster as its objects say; started by `cluster`."""
