"""PostgreSQL and MariaDB."""
