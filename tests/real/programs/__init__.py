"""The programs that README and docs show, each run as it says."""
