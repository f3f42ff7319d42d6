"""Servers that speak a vendor's wire protocol in front of any provider."""
