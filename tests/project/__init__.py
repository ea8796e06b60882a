"""The repository itself: its layout, types at its seams, its sessions, its list of traps."""
