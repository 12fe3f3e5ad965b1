"""What runs inside a target's processes, under the target's interpreter: standard library only."""
