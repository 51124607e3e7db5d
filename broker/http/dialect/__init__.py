"""The dialect of 2016: the API as the clients of that time know it. Without --dialect nothing of it is used."""
