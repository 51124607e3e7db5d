"""The pages of the documentation that are made from the code, and the tests of all pages' examples."""
