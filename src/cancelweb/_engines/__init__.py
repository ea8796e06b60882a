"""Private parts of the modules for engines: job queues and clusters that work on other machines."""
