"""The rooms of the studio: one module each, with its pages and its part of the HTTP API."""
