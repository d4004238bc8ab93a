"""The report as one HTML page that needs nothing else. Pure: figures in, text out."""
