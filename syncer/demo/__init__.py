"""A world to try the program in: an embedded PostgreSQL and a simulated Cloudflare API."""
