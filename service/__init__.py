"""The HTTP API: Flask, one blueprint per resource."""
