"""The dashboard: its pages, who is logged in, and what a page may see and do."""
