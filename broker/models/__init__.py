"""The bodies of the API. One struct validates, documents and encodes; an absent value is left out, never null.

What comes in may have JSON null, or "" for a text or a time, for "not given". Integers that a job has are always there.
"""
