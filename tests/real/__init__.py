"""Other programs, and whatever takes real time; a folder for each session of nox."""
