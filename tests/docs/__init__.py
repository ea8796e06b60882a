"""What README and docs say, compared with the code."""
