"""The Cloudflare API: from the network to typed pages, and every page of an account."""
