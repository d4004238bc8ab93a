"""Keeps the AI Gateway invoices of many Cloudflare accounts in one PostgreSQL database."""

__version__ = "0.1.0"
