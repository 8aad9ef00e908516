"""Scales the processes of a worker with its workload."""
