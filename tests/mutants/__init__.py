"""Mutation testing of the scripts: break one thing in one Lua file, and see whether a contract test notices."""
